// SPDX-License-Identifier: Apache-2.0
/* Request paths: "METHOD path?query" is what is asked for, or refused. */
#include "apiserver/http/server.h"
#include "apiserver/http/uri.h"
#include "test/fuzz/fuzz.h"

static void check_part(const char *part)
{
    fuzz_expect(part != NULL);
    fuzz_expect(uri_is_clean_text(part, strlen(part)));
    fuzz_expect(strcmp(part, ".") != 0 && strcmp(part, "..") != 0);
}

static void check_info(const struct request_info *info)
{
    const char *texts[] = {info->prefix,    info->group,  info->version,
                           info->namespace, info->plural, info->subresource};
    for (size_t i = 0; i < array_length(texts); i++) {
        check_part(texts[i]);
    }
    fuzz_expect(info->verb != NULL); /* A method is read before it comes here. */
    fuzz_expect(info->name != NULL); /* May be any text: of a field selector. */
    for (char **part = info->parts; part != NULL && *part != NULL; part++) {
        check_part(*part);
    }
    fuzz_expect(info->is_resource_request || info->plural[0] == '\0');
}

static void check(const char *method, const char *path, const char *query)
{
    struct parameter *parameters;
    size_t count;
    if (!uri_parse_query(query, &parameters, &count)) {
        return;
    }
    for (size_t i = 0; i < count; i++) {
        fuzz_expect(uri_is_clean_text(parameters[i].name, strlen(parameters[i].name)));
        fuzz_expect(uri_is_clean_text(parameters[i].value, strlen(parameters[i].value)));
    }
    cleanup(error_clear)
    struct error error = ERROR_INIT;
    struct request_info info;
    if (request_info_parse(method, path, parameters, count, &info, &error)) {
        check_info(&info);
    } else {
        fuzz_expect_refusal(&error);
    }
    request_info_clear(&info);
    uri_free_parameters(parameters, count);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    free(uri_decode((const char *)data, size, size % 2 == 0));
    uri_is_clean_text((const char *)data, size);
    cleanup(free_char)
    char *line = fuzz_line(&data, &size);
    char *path = strchr(line, ' ');
    if (path == NULL) {
        return 0;
    }
    *path++ = '\0';
    char *query = strchr(path, '?');
    if (query != NULL) {
        *query++ = '\0';
    }
    check(line, path, query != NULL ? query : "");
    return 0;
}
