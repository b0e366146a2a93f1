// SPDX-License-Identifier: Apache-2.0
/* CustomResourceDefinitions: names, versions, conversion, columns, subresources. */
#include <ctype.h>
#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/x509.h>
#include <string.h>

#include "apiserver/registry/validation/check.h"
#include "apiserver/registry/validation/extensions.h"
#include "common/alloc.h"
#include "common/base64.h"
#include "common/json.h"
#include "common/names.h"

enum { WARNING_MAX = 256, SELECTABLE_MAX = 8 };

static const struct field_path spec_path = {.name = "spec"};

/* ---- names ---- */

static void validate_label(const char *text, const struct field_path *path,
                           struct field_errors *errors)
{
    if (text[0] != '\0') {
        check_invalid_text(text, names_check_dns1035_label(text), path, errors);
    }
}

static void validate_mixed_label(const char *text, const struct field_path *path,
                                 struct field_errors *errors)
{
    cleanup(free_char)
    char *lower = duplicate(text);
    for (char *at = lower; *at != '\0'; at++) {
        *at = (char)tolower((unsigned char)*at);
    }
    const char *message = text[0] != '\0' ? names_check_dns1035_label(lower) : NULL;
    if (message != NULL) {
        cleanup(free_char)
        char *detail = format("may have mixed case, but should otherwise match: %s", message);
        check_invalid_text(text, detail, path, errors);
    }
}

/* Those that are wanted, and those that are accepted. */
static void validate_names(const json_t *names, const struct field_path *path,
                           struct field_errors *errors)
{
    static const char *const lists[] = {"shortNames", "categories"};
    const char *kind = check_text(names, "kind"), *list_kind = check_text(names, "listKind");
    validate_label(check_text(names, "plural"), FIELD(path, "plural"), errors);
    validate_label(check_text(names, "singular"), FIELD(path, "singular"), errors);
    validate_mixed_label(kind, FIELD(path, "kind"), errors);
    validate_mixed_label(list_kind, FIELD(path, "listKind"), errors);
    for (size_t i = 0; i < array_length(lists); i++) {
        const json_t *list = json_object_get(names, lists[i]);
        const struct field_path *here = FIELD(path, lists[i]);
        for (size_t j = 0; j < json_array_size(list); j++) {
            const char *text = json_string_value(json_array_get(list, j));
            check_invalid_text(text, names_check_dns1035_label(text), FIELD_INDEX(here, j), errors);
        }
    }
    if (kind[0] != '\0' && strcmp(kind, list_kind) == 0) {
        check_invalid_text(list_kind, "kind and listKind may not be the same",
                           FIELD(path, "listKind"), errors);
    }
}

static bool ends_with(const char *text, const char *end)
{
    size_t length = strlen(text), tail = strlen(end);
    return length >= tail && strcmp(text + length - tail, end) == 0;
}

/* Groups of the community are given by the community, which the annotation tells of. */
static void validate_approval(const json_t *definition, const char *group,
                              struct field_errors *errors)
{
    static const char name[] = "api-approved.kubernetes.io";
    const json_t *annotations = json_path(definition, "metadata", "annotations");
    const char *approval = check_text(annotations, name);
    const struct field_path *path = FIELD_KEY(FIELD(FIELD(NULL, "metadata"), "annotations"), name);
    bool is_protected = strcmp(group, "k8s.io") == 0 || strcmp(group, "kubernetes.io") == 0 ||
                        ends_with(group, ".k8s.io") || ends_with(group, ".kubernetes.io");
    const char *scheme = strstr(approval, "://");
    if (!is_protected || check_starts_with(approval, "unapproved") ||
        (scheme != NULL && scheme > approval && scheme[3] != '\0')) {
        return;
    }
    if (approval[0] == '\0') {
        field_error(errors, FIELD_REQUIRED, path, NULL,
                    "protected groups must have approval annotation \"%s\", see "
                    "https://github.com/kubernetes/enhancements/pull/1111",
                    name);
    } else {
        field_error(errors, FIELD_INVALID, path, json_object_get(annotations, name),
                    "protected groups must have approval annotation \"%s\" with either a URL or a "
                    "reason starting with \"unapproved\", see "
                    "https://github.com/kubernetes/enhancements/pull/1111",
                    name);
    }
}

static void validate_group(const json_t *definition, const json_t *spec,
                           struct field_errors *errors)
{
    const char *group = check_text(spec, "group");
    const char *name = check_text(json_object_get(definition, "metadata"), "name");
    const char *message = group[0] != '\0' ? names_check_dns_subdomain(group) : NULL;
    cleanup(free_char)
    char *wanted = format("%s.%s", check_text(json_object_get(spec, "names"), "plural"), group);
    if (strcmp(name, wanted) != 0) {
        check_invalid_text(name, "must be spec.names.plural+\".\"+spec.group",
                           FIELD(FIELD(NULL, "metadata"), "name"), errors);
    }
    if (group[0] != '\0' && message == NULL && strchr(group, '.') == NULL) {
        message = "should be a domain with at least one dot";
    }
    check_invalid_text(group, message, FIELD(&spec_path, "group"), errors);
}

/* ---- a version ---- */

static void validate_columns(const json_t *columns, const struct field_path *path,
                             struct field_errors *errors)
{
    static const char *const formats[] = {"byte",  "date",  "date-time", "double", "float",
                                          "int32", "int64", "password",  NULL};
    for (size_t i = 0; i < json_array_size(columns); i++) {
        const json_t *column = json_array_get(columns, i);
        const char *format_name = check_text(column, "format"),
                   *at = check_text(column, "jsonPath");
        const struct field_path *here = FIELD_INDEX(path, i);
        if (format_name[0] != '\0' && !check_one_of(format_name, formats)) {
            check_not_supported(format_name, formats, FIELD(here, "format"), errors);
        }
        if (at[0] != '\0' && at[0] != '.') {
            check_invalid_text(at, "must be a simple json path starting with .",
                               FIELD(here, "jsonPath"), errors);
        }
    }
}

static void validate_scale_path(const json_t *scale, const char *member, const char *below,
                                const char *detail, const struct field_path *path,
                                struct field_errors *errors)
{
    const char *text = check_text(scale, member);
    if (text[0] != '\0' && text[0] != '.') {
        check_invalid_text(text, "must be a simple json path starting with .", FIELD(path, member),
                           errors);
    } else if (text[0] != '\0' && !check_starts_with(text, below)) {
        check_invalid_text(text, detail, FIELD(path, member), errors);
    }
}

static void validate_scale(const json_t *scale, const struct field_path *path,
                           struct field_errors *errors)
{
    const char *selector = check_text(scale, "labelSelectorPath");
    validate_scale_path(scale, "specReplicasPath", ".spec.", "should be a json path under .spec",
                        path, errors);
    validate_scale_path(scale, "statusReplicasPath", ".status.",
                        "should be a json path under .status", path, errors);
    validate_scale_path(scale, "labelSelectorPath",
                        check_starts_with(selector, ".spec.") ? ".spec." : ".status.",
                        "should be a json path under either .spec or .status", path, errors);
}

static void validate_deprecation(const json_t *version, const struct field_path *path,
                                 struct field_errors *errors)
{
    const json_t *warning = json_object_get(version, "deprecationWarning");
    const char *message = NULL;
    if (warning == NULL) {
        return;
    }
    if (!json_get_bool(version, "deprecated", false)) {
        message = "can only be set for deprecated versions";
    } else if (json_string_length(warning) > WARNING_MAX) {
        message = "must be <= 256 characters long";
    } else if (json_string_length(warning) == 0) {
        message = "must not be an empty string";
    }
    check_message(warning, message, path, errors);
}

/* Where the parts of a version are told of; NULL: nowhere, as another version's are the same. */
struct version_paths {
    const struct field_path *schema, *subresources, *columns, *selectable;
};

static void validate_version(const json_t *version, const struct field_path *path,
                             const struct version_paths *at, struct field_errors *errors)
{
    const json_t *schema = json_path(version, "schema", "openAPIV3Schema");
    const json_t *scale = json_path(version, "subresources", "scale");
    const json_t *selectable = json_object_get(version, "selectableFields");
    validate_label(check_text(version, "name"), FIELD(path, "name"), errors);
    validate_deprecation(version, FIELD(path, "deprecationWarning"), errors);
    if (schema == NULL) {
        field_error(errors, FIELD_REQUIRED, FIELD(FIELD(path, "schema"), "openAPIV3Schema"), NULL,
                    "schemas are required");
    } else if (at->schema != NULL) {
        validate_definition_schema(schema, FIELD(at->schema, "openAPIV3Schema"), errors);
    }
    if (scale != NULL && at->subresources != NULL) {
        validate_scale(scale, FIELD(at->subresources, "scale"), errors);
    }
    if (at->columns != NULL) {
        validate_columns(json_object_get(version, "additionalPrinterColumns"), at->columns, errors);
    }
    if (json_array_size(selectable) > SELECTABLE_MAX && at->selectable != NULL) {
        cleanup(json_release)
        json_t *shown = json_integer((json_int_t)json_array_size(selectable));
        field_error(errors, FIELD_TOO_MANY, at->selectable, shown, "must have at most %d items",
                    SELECTABLE_MAX);
    }
}

static bool is_same_in_all(const json_t *versions, const char *member)
{
    const json_t *first = json_object_get(json_array_get(versions, 0), member);
    for (size_t i = 1; i < json_array_size(versions); i++) {
        if (!check_equal(first, json_object_get(json_array_get(versions, i), member))) {
            return false;
        }
    }
    return true;
}

/* What all versions have in common is told of once, above them, where it stood in v1beta1. */
static const struct field_path *where(bool is_shared, size_t position, const struct field_path *own,
                                      const struct field_path *above)
{
    return !is_shared ? own : position == 0 ? above : NULL;
}

static void validate_versions(const json_t *versions, struct field_errors *errors)
{
    const struct field_path *path = FIELD(&spec_path, "versions");
    struct map seen = MAP_INIT;
    size_t stored = 0;
    bool unique = true;
    bool schema = is_same_in_all(versions, "schema");
    bool subresources = is_same_in_all(versions, "subresources");
    bool columns = is_same_in_all(versions, "additionalPrinterColumns");
    bool selectable = is_same_in_all(versions, "selectableFields");
    for (size_t i = 0; i < json_array_size(versions); i++) {
        const json_t *version = json_array_get(versions, i);
        const struct field_path *own = FIELD_INDEX(path, i);
        struct version_paths at = {
            where(schema, i, FIELD(own, "schema"), FIELD(&spec_path, "validation")),
            where(subresources, i, FIELD(own, "subresources"), FIELD(&spec_path, "subresources")),
            where(columns, i, FIELD(own, "additionalPrinterColumns"),
                  FIELD(&spec_path, "additionalPrinterColumns")),
            where(selectable, i, FIELD(own, "selectableFields"),
                  FIELD(&spec_path, "selectableFields"))};
        stored += json_get_bool(version, "storage", false);
        unique = map_set(&seen, check_text(version, "name"), &seen) == NULL && unique;
        validate_version(version, own, &at, errors);
    }
    map_free(&seen, NULL);
    if (!unique) {
        field_error(errors, FIELD_INVALID, path, versions, "must contain unique version names");
    }
    if (stored != 1 && json_array_size(versions) > 0) {
        field_error(errors, FIELD_INVALID, path, versions,
                    "must have exactly one version marked as storage version");
    }
}

/* ---- conversion ---- */

static void validate_review_versions(const json_t *versions, const struct field_path *path,
                                     struct field_errors *errors)
{
    struct map seen = MAP_INIT;
    bool known = false;
    for (size_t i = 0; i < json_array_size(versions); i++) {
        const char *version = json_string_value(json_array_get(versions, i));
        bool again = map_set(&seen, version, &seen) != NULL;
        known = known || strcmp(version, "v1") == 0 || strcmp(version, "v1beta1") == 0;
        check_invalid_text(version,
                           again ? "duplicate version" : names_check_dns1035_label(version),
                           FIELD_INDEX(path, i), errors);
    }
    map_free(&seen, NULL);
    if (!known && json_array_size(versions) > 0) {
        field_error(errors, FIELD_INVALID, path, versions,
                    "must include at least one of v1, v1beta1");
    }
}

/* base64 of PEM blocks of which one at least is a certificate. */
static bool has_certificate(const char *bundle)
{
    size_t size;
    cleanup(free_char)
    char *pem = base64_decode(bundle, strlen(bundle), &size);
    BIO *source = BIO_new_mem_buf(pem ? pem : "", pem ? (int)size : 0);
    X509 *certificate = NULL;
    char *name = NULL, *header = NULL;
    unsigned char *bytes = NULL;
    long length;
    while (certificate == NULL && PEM_read_bio(source, &name, &header, &bytes, &length) == 1) {
        const unsigned char *at = bytes;
        certificate = strcmp(name, "CERTIFICATE") == 0 ? d2i_X509(NULL, &at, length) : NULL;
        OPENSSL_free(name);
        OPENSSL_free(header);
        OPENSSL_free(bytes);
    }
    X509_free(certificate);
    BIO_free(source);
    ERR_clear_error();
    return certificate != NULL;
}

/* One that was wrong before may stay so. */
static void validate_bundle(const struct write *write, const json_t *client,
                            const struct field_path *path, struct field_errors *errors)
{
    const json_t *bundle = json_object_get(client, "caBundle");
    const json_t *old =
        json_path(write->live, "spec", "conversion", "webhook", "clientConfig", "caBundle");
    bool was_wrong = json_string_length(old) > 0 && !has_certificate(json_string_value(old));
    if (json_string_length(bundle) > 0 && !was_wrong &&
        !has_certificate(json_string_value(bundle))) {
        field_error(errors, FIELD_INVALID, FIELD(path, "caBundle"), bundle,
                    "unable to load root certificates: unable to parse bytes as PEM block");
    }
}

static void validate_conversion(const struct write *write, const json_t *conversion,
                                struct field_errors *errors)
{
    const json_t *webhook = json_object_get(conversion, "webhook");
    const json_t *client = json_object_get(webhook, "clientConfig");
    const json_t *versions = json_object_get(webhook, "conversionReviewVersions");
    const struct field_path *path = FIELD(&spec_path, "conversion");
    /* Upstream's paths: they are older than the object in which both stand now. */
    const struct field_path *client_path = FIELD(path, "webhookClientConfig");
    const struct field_path *versions_path = FIELD(path, "conversionReviewVersions");
    if (!check_is(conversion, "strategy", "Webhook")) {
        if (client != NULL) {
            field_error(errors, FIELD_FORBIDDEN, client_path, NULL,
                        "should not be set when strategy is not set to Webhook");
        }
        if (json_array_size(versions) > 0) {
            field_error(errors, FIELD_FORBIDDEN, versions_path, NULL,
                        "should not be set when strategy is not set to Webhook");
        }
        return;
    }
    if (client == NULL) {
        field_error(errors, FIELD_REQUIRED, client_path, NULL,
                    "required when strategy is set to Webhook");
    } else {
        validate_webhook_client(client, "exactly one of url or service is required", client_path,
                                errors);
        validate_bundle(write, client, client_path, errors);
    }
    if (json_array_size(versions) == 0) {
        field_error(errors, FIELD_REQUIRED, versions_path, NULL, NULL);
    }
    validate_review_versions(versions, versions_path, errors);
}

/* ---- updates ---- */

static bool is_established(const json_t *definition)
{
    const json_t *conditions = json_path(definition, "status", "conditions");
    for (size_t i = 0; i < json_array_size(conditions); i++) {
        const json_t *condition = json_array_get(conditions, i);
        if (check_is(condition, "type", "Established") && check_is(condition, "status", "True")) {
            return true;
        }
    }
    return false;
}

/* Objects may be stored in versions that were the storage version once. */
static void validate_stored_versions(const json_t *definition, struct field_errors *errors)
{
    const json_t *stored = json_path(definition, "status", "storedVersions");
    const struct field_path *path = FIELD(FIELD(NULL, "status"), "storedVersions");
    struct map versions = MAP_INIT;
    check_collect(&versions, json_path(definition, "spec", "versions"), "name");
    for (size_t i = 0; i < json_array_size(stored); i++) {
        const json_t *version = json_array_get(stored, i);
        if (map_get(&versions, json_string_value(version)) == NULL) {
            field_error(errors, FIELD_INVALID, FIELD_INDEX(path, i), version,
                        "must appear in spec.versions");
        }
    }
    map_free(&versions, NULL);
}

static void validate_update(const struct write *write, struct field_errors *errors)
{
    const json_t *spec = json_object_get(write->object, "spec");
    const json_t *live = json_object_get(write->live, "spec");
    const json_t *names = json_object_get(spec, "names"), *old = json_object_get(live, "names");
    const struct field_path *names_path = FIELD(&spec_path, "names");
    if (is_established(write->live)) {
        check_immutable(json_object_get(spec, "scope"), json_object_get(live, "scope"),
                        FIELD(&spec_path, "scope"), errors);
        check_immutable(json_object_get(names, "kind"), json_object_get(old, "kind"),
                        FIELD(names_path, "kind"), errors);
    }
    check_immutable(json_object_get(spec, "group"), json_object_get(live, "group"),
                    FIELD(&spec_path, "group"), errors);
    check_immutable(json_object_get(names, "plural"), json_object_get(old, "plural"),
                    FIELD(names_path, "plural"), errors);
    validate_stored_versions(write->object, errors);
}

void validate_definition(const struct write *write, struct field_errors *errors)
{
    const json_t *spec = json_object_get(write->object, "spec");
    const json_t *preserves = json_object_get(spec, "preserveUnknownFields");
    validate_names(json_path(write->object, "status", "acceptedNames"),
                   FIELD(FIELD(NULL, "status"), "acceptedNames"), errors);
    if (write->subresource[0] != '\0') {
        return;
    }
    validate_group(write->object, spec, errors);
    if (write->live == NULL) {
        validate_approval(write->object, check_text(spec, "group"), errors);
    }
    validate_names(json_object_get(spec, "names"), FIELD(&spec_path, "names"), errors);
    validate_versions(json_object_get(spec, "versions"), errors);
    validate_conversion(write, json_object_get(spec, "conversion"), errors);
    if (json_is_true(preserves)) {
        field_error(errors, FIELD_INVALID, FIELD(&spec_path, "preserveUnknownFields"), preserves,
                    "cannot set to true, set x-kubernetes-preserve-unknown-fields to true in "
                    "spec.versions[*].schema instead");
    }
    if (write->live != NULL) {
        validate_update(write, errors);
    }
}
