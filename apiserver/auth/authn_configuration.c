// SPDX-License-Identifier: Apache-2.0
#include "apiserver/auth/authn_configuration.h"

#include <openssl/pem.h>
#include <openssl/x509.h>
#include <string.h>

#include "common/alloc.h"
#include "common/buffer.h"
#include "common/client_config.h"
#include "common/configuration.h"
#include "common/json.h"

enum { issuers_max = 64, ca_bytes_max = 1 << 20 };

void authn_configuration_clear(struct authn_configuration *configuration)
{
    json_decref(configuration->issuers);
    json_decref(configuration->anonymous_paths);
    *configuration = (struct authn_configuration){0};
}

static const char *text_of(const json_t *object, const char *name)
{
    const char *text = json_get_string(object, name);
    return text != NULL ? text : "";
}

static bool has(const json_t *object, const char *name)
{
    return text_of(object, name)[0] != '\0';
}

static void invalid(struct field_errors *errors, const struct field_path *path, const char *value,
                    const char *message)
{
    cleanup(json_release)
    json_t *text = json_string(value);
    field_error(errors, FIELD_INVALID, path, text, "%s", message);
}

static void required(struct field_errors *errors, const struct field_path *path,
                     const char *message)
{
    field_error(errors, FIELD_REQUIRED, path, NULL, "%s", message != NULL ? message : "");
}

static void duplicated(struct field_errors *errors, const struct field_path *path,
                       const char *value)
{
    cleanup(json_release)
    json_t *text = json_string(value);
    field_error(errors, FIELD_DUPLICATE, path, text, NULL);
}

/* Whether one of those before this one says the same. */
static bool is_repeated(const json_t *list, size_t position, const char *const *member)
{
    const char *text = json_string_value(json_path_list(json_array_get(list, position), member));
    for (size_t i = 0; text != NULL && text[0] != '\0' && i < position; i++) {
        const char *other = json_string_value(json_path_list(json_array_get(list, i), member));
        if (other != NULL && strcmp(other, text) == 0) {
            return true;
        }
    }
    return false;
}

/* ---- what is known, and of what type ---- */

static const struct configuration_member root_members[] = {{"apiVersion", JSON_STRING},
                                                           {"kind", JSON_STRING},
                                                           {"jwt", JSON_ARRAY},
                                                           {"anonymous", JSON_OBJECT},
                                                           {NULL, 0}};
static const struct configuration_member anonymous_members[] = {
    {"enabled", JSON_TRUE}, {"conditions", JSON_ARRAY}, {NULL, 0}};
static const struct configuration_member condition_members[] = {{"path", JSON_STRING}, {NULL, 0}};
static const struct configuration_member jwt_members[] = {{"issuer", JSON_OBJECT},
                                                          {"claimValidationRules", JSON_ARRAY},
                                                          {"claimMappings", JSON_OBJECT},
                                                          {"userValidationRules", JSON_ARRAY},
                                                          {NULL, 0}};
static const struct configuration_member issuer_members[] = {{"url", JSON_STRING},
                                                             {"discoveryURL", JSON_STRING},
                                                             {"certificateAuthority", JSON_STRING},
                                                             {"audiences", JSON_ARRAY},
                                                             {"audienceMatchPolicy", JSON_STRING},
                                                             {"egressSelectorType", JSON_STRING},
                                                             {NULL, 0}};
static const struct configuration_member rule_members[] = {{"claim", JSON_STRING},
                                                           {"requiredValue", JSON_STRING},
                                                           {"expression", JSON_STRING},
                                                           {"message", JSON_STRING},
                                                           {NULL, 0}};
static const struct configuration_member mappings_members[] = {{"username", JSON_OBJECT},
                                                               {"groups", JSON_OBJECT},
                                                               {"uid", JSON_OBJECT},
                                                               {"extra", JSON_ARRAY},
                                                               {NULL, 0}};
static const struct configuration_member mapping_members[] = {
    {"claim", JSON_STRING}, {"prefix", JSON_STRING}, {"expression", JSON_STRING}, {NULL, 0}};
static const struct configuration_member uid_members[] = {
    {"claim", JSON_STRING}, {"expression", JSON_STRING}, {NULL, 0}};

/* Of a member that may be absent; false with an error. */
static bool check_member(const json_t *object, const char *path, const char *name,
                         const struct configuration_member *members, struct error *error)
{
    const json_t *value = json_object_get(object, name);
    cleanup(free_char)
    char *here = format("%s%s%s", path, path[0] != '\0' ? "." : "", name);
    return value == NULL || json_is_null(value) || configuration_check(value, here, members, error);
}

static bool check_list(const json_t *object, const char *path, const char *name,
                       const struct configuration_member *members, struct error *error)
{
    const json_t *list = json_object_get(object, name);
    bool fits = true;
    for (size_t i = 0; fits && i < json_array_size(list); i++) {
        cleanup(free_char)
        char *here = format("%s%s%s[%zu]", path, path[0] != '\0' ? "." : "", name, i);
        fits = configuration_check(json_array_get(list, i), here, members, error);
    }
    return fits;
}

static bool check_types(const json_t *root, struct error *error)
{
    const json_t *anonymous = json_object_get(root, "anonymous"), *jwt;
    size_t i;
    if (!configuration_check(root, "", root_members, error) ||
        !check_member(root, "", "anonymous", anonymous_members, error) ||
        !check_list(anonymous, "anonymous", "conditions", condition_members, error) ||
        !check_list(root, "", "jwt", jwt_members, error)) {
        return false;
    }
    json_array_foreach (json_object_get(root, "jwt"), i, jwt) {
        cleanup(free_char)
        char *path = format("jwt[%zu]", i);
        cleanup(free_char)
        char *issuer = format("%s.issuer", path);
        cleanup(free_char)
        char *mappings = format("%s.claimMappings", path);
        const json_t *mapped = json_object_get(jwt, "claimMappings");
        if (!check_member(jwt, path, "issuer", issuer_members, error) ||
            !configuration_check_texts(json_object_get(jwt, "issuer"), issuer, "audiences",
                                       error) ||
            !check_list(jwt, path, "claimValidationRules", rule_members, error) ||
            !check_member(jwt, path, "claimMappings", mappings_members, error) ||
            !check_member(mapped, mappings, "username", mapping_members, error) ||
            !check_member(mapped, mappings, "groups", mapping_members, error) ||
            !check_member(mapped, mappings, "uid", uid_members, error)) {
            return false;
        }
    }
    return true;
}

/* ---- issuers ---- */

static void check_url(const char *url, const struct field_path *path, struct field_errors *errors)
{
    static const char scheme[] = "https://";
    bool is_secure = strncmp(url, scheme, sizeof scheme - 1) == 0;
    const char *host = is_secure ? url + sizeof scheme - 1 : url;
    const char *query = strchr(url, '?'), *fragment = strchr(url, '#');
    if (!is_secure) {
        invalid(errors, path, url, "URL scheme must be https");
    }
    if (memchr(host, '@', strcspn(host, "/?#")) != NULL) {
        invalid(errors, path, url, "URL must not contain a username or password");
    }
    if (query != NULL && (fragment == NULL || query < fragment) && query[1] != '\0' &&
        query[1] != '#') {
        invalid(errors, path, url, "URL must not contain a query");
    }
    if (fragment != NULL && fragment[1] != '\0') {
        invalid(errors, path, url, "URL must not contain a fragment");
    }
}

static void check_not_own(const char *url, const struct flag_list *own,
                          const struct field_path *path, struct field_errors *errors)
{
    bool is_own = false;
    struct buffer message = BUFFER_INIT;
    buffer_add_text(&message, "URL must not overlap with disallowed issuers: [");
    for (size_t i = 0; i < own->count; i++) {
        buffer_addf(&message, "%s%s", i > 0 ? " " : "", own->values[i]);
        is_own = is_own || strcmp(own->values[i], url) == 0;
    }
    buffer_add_text(&message, "]");
    if (is_own) {
        invalid(errors, path, url, buffer_text(&message));
    }
    buffer_free(&message);
}

static bool is_same_but_slashes(const char *one, const char *other)
{
    size_t length = strlen(one), other_length = strlen(other);
    while (length > 0 && one[length - 1] == '/') {
        length--;
    }
    while (other_length > 0 && other[other_length - 1] == '/') {
        other_length--;
    }
    return length == other_length && memcmp(one, other, length) == 0;
}

static void check_audiences(const json_t *issuer, const struct field_path *path,
                            struct field_errors *errors)
{
    const json_t *audiences = json_object_get(issuer, "audiences");
    const struct field_path *here = FIELD(path, "audiences");
    const struct field_path *policy_path = FIELD(path, "audienceMatchPolicy");
    const char *policy = text_of(issuer, "audienceMatchPolicy");
    bool is_any = strcmp(policy, "MatchAny") == 0;
    if (json_array_size(audiences) == 0) {
        cleanup(free_char)
        char *text = field_path_text(here);
        cleanup(free_char)
        char *message = format("at least one %s is required", text);
        required(errors, here, message);
        return;
    }
    for (size_t i = 0; i < json_array_size(audiences); i++) {
        const char *audience = json_string_value(json_array_get(audiences, i));
        if (audience[0] == '\0') {
            required(errors, FIELD_INDEX(here, i), NULL);
        }
        for (size_t j = 0; j < i; j++) {
            if (strcmp(json_string_value(json_array_get(audiences, j)), audience) == 0) {
                duplicated(errors, FIELD_INDEX(here, i), audience);
                break;
            }
        }
    }
    if (json_array_size(audiences) > 1 && !is_any) {
        invalid(errors, policy_path, policy,
                "audienceMatchPolicy must be MatchAny for multiple audiences");
    } else if (policy[0] != '\0' && !is_any) {
        invalid(errors, policy_path, policy,
                "audienceMatchPolicy must be empty or MatchAny for single audience");
    }
}

static bool is_certificate(const char *pem)
{
    BIO *bio = BIO_new_mem_buf(pem, -1);
    X509 *certificate = PEM_read_bio_X509(bio, NULL, NULL, NULL);
    bool is_one = certificate != NULL;
    X509_free(certificate);
    BIO_free(bio);
    return is_one;
}

static void check_issuer(const json_t *issuer, const struct flag_list *own,
                         const struct field_path *path, struct field_errors *errors)
{
    const char *url = text_of(issuer, "url"), *discovery = text_of(issuer, "discoveryURL");
    if (url[0] == '\0') {
        required(errors, FIELD(path, "url"), NULL);
    } else {
        check_not_own(url, own, FIELD(path, "url"), errors);
        check_url(url, FIELD(path, "url"), errors);
    }
    if (discovery[0] != '\0') {
        if (is_same_but_slashes(url, discovery)) {
            invalid(errors, FIELD(path, "discoveryURL"), discovery,
                    "discoveryURL must be different from URL");
        }
        check_url(discovery, FIELD(path, "discoveryURL"), errors);
    }
    check_audiences(issuer, path, errors);
    if (has(issuer, "certificateAuthority") &&
        !is_certificate(text_of(issuer, "certificateAuthority"))) {
        invalid(errors, FIELD(path, "certificateAuthority"), "<omitted>",
                "data does not contain any valid RSA or ECDSA certificates");
    }
    if (has(issuer, "egressSelectorType")) {
        invalid(errors, FIELD(path, "egressSelectorType"), text_of(issuer, "egressSelectorType"),
                "this server has no egress selectors");
    }
}

/* ---- claims ---- */

static void check_no_expression(const json_t *object, const struct field_path *path,
                                struct field_errors *errors)
{
    if (has(object, "expression")) {
        invalid(errors, FIELD(path, "expression"), text_of(object, "expression"),
                "this server can't evaluate expressions yet");
    }
}

static void check_rules(const json_t *rules, const struct field_path *path,
                        struct field_errors *errors)
{
    static const char *const claim[] = {"claim", NULL};
    for (size_t i = 0; i < json_array_size(rules); i++) {
        const json_t *rule = json_array_get(rules, i);
        const struct field_path *here = FIELD_INDEX(path, i);
        if (has(rule, "claim") && has(rule, "expression")) {
            invalid(errors, here, text_of(rule, "claim"), "claim and expression can't both be set");
        } else if (!has(rule, "claim") && !has(rule, "expression")) {
            required(errors, here, "claim or expression is required");
        } else if (has(rule, "claim")) {
            if (has(rule, "message")) {
                invalid(errors, FIELD(here, "message"), text_of(rule, "message"),
                        "may not be specified when claim is set");
            }
            if (is_repeated(rules, i, claim)) {
                duplicated(errors, FIELD(here, "claim"), text_of(rule, "claim"));
            }
        } else {
            check_no_expression(rule, here, errors);
        }
    }
}

static void check_mapping(const json_t *mapping, bool is_required, const struct field_path *path,
                          struct field_errors *errors)
{
    bool has_prefix = json_is_string(json_object_get(mapping, "prefix"));
    if (has(mapping, "claim") && has(mapping, "expression")) {
        invalid(errors, path, "", "claim and expression can't both be set");
    } else if (has(mapping, "expression")) {
        if (has_prefix) {
            invalid(errors, FIELD(path, "prefix"), text_of(mapping, "prefix"),
                    "may not be specified when expression is set");
        }
        check_no_expression(mapping, path, errors);
    } else if (has(mapping, "claim")) {
        if (!has_prefix) {
            required(errors, FIELD(path, "prefix"),
                     "prefix is required when claim is set. It can be set to an empty string to "
                     "disable prefixing");
        }
    } else if (is_required) {
        required(errors, path, "claim or expression is required");
    }
}

static void check_jwt(const json_t *jwt, const struct flag_list *own, const struct field_path *path,
                      struct field_errors *errors)
{
    const json_t *mappings = json_object_get(jwt, "claimMappings");
    const json_t *uid = json_object_get(mappings, "uid");
    const struct field_path *mapped = FIELD(path, "claimMappings");
    check_issuer(json_object_get(jwt, "issuer"), own, FIELD(path, "issuer"), errors);
    check_rules(json_object_get(jwt, "claimValidationRules"), FIELD(path, "claimValidationRules"),
                errors);
    check_mapping(json_object_get(mappings, "username"), true, FIELD(mapped, "username"), errors);
    check_mapping(json_object_get(mappings, "groups"), false, FIELD(mapped, "groups"), errors);
    if (has(uid, "claim") && has(uid, "expression")) {
        invalid(errors, FIELD(mapped, "uid"), "", "claim and expression can't both be set");
    } else {
        check_no_expression(uid, FIELD(mapped, "uid"), errors);
    }
    if (json_array_size(json_object_get(mappings, "extra")) > 0) {
        invalid(errors, FIELD(mapped, "extra"), "", "this server can't evaluate expressions yet");
    }
    if (json_array_size(json_object_get(jwt, "userValidationRules")) > 0) {
        invalid(errors, FIELD(path, "userValidationRules"), "",
                "this server can't evaluate expressions yet");
    }
}

/* ---- the whole ---- */

static void check_values(const json_t *root, const struct flag_list *own,
                         struct field_errors *errors)
{
    static const char *const url[] = {"issuer", "url", NULL};
    static const char *const discovery_url[] = {"issuer", "discoveryURL", NULL};
    const json_t *list = json_object_get(root, "jwt");
    const json_t *anonymous = json_object_get(root, "anonymous");
    const struct field_path *path = FIELD(NULL, "jwt");
    if (json_array_size(list) > issuers_max) {
        field_error(errors, FIELD_TOO_MANY, path, NULL, "must have at most 64 items");
        return;
    }
    for (size_t i = 0; i < json_array_size(list); i++) {
        const json_t *jwt = json_array_get(list, i), *issuer = json_object_get(jwt, "issuer");
        const struct field_path *here = FIELD(FIELD_INDEX(path, i), "issuer");
        check_jwt(jwt, own, FIELD_INDEX(path, i), errors);
        if (is_repeated(list, i, url)) {
            duplicated(errors, FIELD(here, "url"), text_of(issuer, "url"));
        }
        if (is_repeated(list, i, discovery_url)) {
            duplicated(errors, FIELD(here, "discoveryURL"), text_of(issuer, "discoveryURL"));
        }
    }
    if (!json_get_bool(anonymous, "enabled", false) &&
        json_array_size(json_object_get(anonymous, "conditions")) > 0) {
        field_error(errors, FIELD_INVALID, FIELD(FIELD(NULL, "anonymous"), "conditions"),
                    json_object_get(anonymous, "conditions"),
                    "enabled should be set to true when conditions are defined");
    }
}

/* All that is wrong in one line, as upstream joins it. */
static bool refuse(const struct field_errors *errors, struct error *error)
{
    cleanup(buffer_free)
    struct buffer text = BUFFER_INIT;
    size_t count = json_array_size(errors->causes);
    for (size_t i = 0; i < count; i++) {
        const json_t *cause = json_array_get(errors->causes, i);
        buffer_addf(&text, "%s%s: %s", i > 0 ? ", " : "", text_of(cause, "field"),
                    text_of(cause, "message"));
    }
    return error_bad_request(error, "invalid authentication configuration: %s%s%s",
                             count > 1 ? "[" : "", buffer_text(&text), count > 1 ? "]" : "");
}

static void take_anonymous(struct authn_configuration *configuration, const json_t *anonymous)
{
    const json_t *conditions = json_object_get(anonymous, "conditions");
    configuration->says_anonymous = json_is_object(anonymous);
    configuration->anonymous = json_get_bool(anonymous, "enabled", false);
    if (json_array_size(conditions) > 0) {
        configuration->anonymous_paths = json_array();
    }
    for (size_t i = 0; i < json_array_size(conditions); i++) {
        json_array_append_new(configuration->anonymous_paths,
                              json_string(text_of(json_array_get(conditions, i), "path")));
    }
}

static bool is_kind(const json_t *root, struct error *error)
{
    const char *version = text_of(root, "apiVersion");
    bool is_known = strcmp(version, "apiserver.config.k8s.io/v1") == 0 ||
                    strcmp(version, "apiserver.config.k8s.io/v1beta1") == 0 ||
                    strcmp(version, "apiserver.config.k8s.io/v1alpha1") == 0;
    return (is_known && strcmp(text_of(root, "kind"), "AuthenticationConfiguration") == 0) ||
           error_bad_request(
               error, "must be kind AuthenticationConfiguration of apiserver.config.k8s.io/v1");
}

bool authn_configuration_read(struct authn_configuration *configuration, const char *path,
                              const struct flag_list *service_account_issuers, struct error *error)
{
    cleanup(error_clear)
    struct error why = ERROR_INIT;
    cleanup(field_errors_clear)
    struct field_errors errors = FIELD_ERRORS_INIT;
    cleanup(json_release)
    json_t *root = configuration_read_yaml(path, error);
    if (root == NULL) {
        return false;
    }
    if (!is_kind(root, &why) || !check_types(root, &why)) {
        return error_wrap(error, &why, "%s", path);
    }
    check_values(root, service_account_issuers, &errors);
    if (field_errors_any(&errors)) {
        refuse(&errors, &why);
        return error_wrap(error, &why, "%s", path);
    }
    json_t *list = json_object_get(root, "jwt");
    *configuration = (struct authn_configuration){.issuers = json_is_array(list) ? json_incref(list)
                                                                                 : json_array()};
    take_anonymous(configuration, json_object_get(root, "anonymous"));
    return true;
}

/* ---- flags ---- */

static bool has_oidc_flags(const struct authn_options *options)
{
    return options->oidc_issuer_url != NULL || options->oidc_client_id != NULL ||
           options->oidc_ca_file != NULL || options->oidc_username_prefix != NULL ||
           options->oidc_groups_claim != NULL || options->oidc_groups_prefix != NULL ||
           options->oidc_required_claims.count > 0;
}

bool authn_check_options(const struct authn_options *options, struct error *error)
{
    if (options->config_file != NULL && has_oidc_flags(options)) {
        return error_bad_request(
            error, "authentication-config file and oidc-* flags are mutually exclusive");
    }
    return !has_oidc_flags(options) ||
           (options->oidc_issuer_url != NULL && options->oidc_client_id != NULL) ||
           error_bad_request(error, "oidc-issuer-url and oidc-client-id must be specified together "
                                    "when any oidc-* flags are set");
}

/* --oidc-required-claim: key=value, one or more with commas between. */
static bool add_required(json_t *rules, const struct flag_list *list, struct error *error)
{
    for (size_t i = 0; i < list->count; i++) {
        cleanup(free_char)
        char *copy = duplicate(list->values[i]);
        char *rest = NULL;
        for (char *pair = strtok_r(copy, ",", &rest); pair != NULL;
             pair = strtok_r(NULL, ",", &rest)) {
            char *value = strchr(pair, '=');
            if (value == NULL) {
                return error_bad_request(error, "--oidc-required-claim: \"%s\" is no key=value",
                                         pair);
            }
            *value++ = '\0';
            json_array_append_new(rules,
                                  json_pack("{s:s, s:s}", "claim", pair, "requiredValue", value));
        }
    }
    return true;
}

/* "-" is none; who says nothing gets the issuer before each name that is no mail address. */
static char *username_prefix(const struct authn_options *options)
{
    const char *given = options->oidc_username_prefix;
    if (given != NULL && given[0] != '\0') {
        return duplicate(strcmp(given, "-") == 0 ? "" : given);
    }
    return strcmp(options->oidc_username_claim, "email") == 0
               ? duplicate("")
               : format("%s#", options->oidc_issuer_url);
}

json_t *authn_configuration_of_flags(const struct authn_options *options, struct error *error)
{
    cleanup(field_errors_clear)
    struct field_errors errors = FIELD_ERRORS_INIT;
    cleanup(free_char)
    char *prefix = username_prefix(options);
    cleanup(free_char)
    char *ca = options->oidc_ca_file
                   ? client_config_read_file(options->oidc_ca_file, ca_bytes_max, error)
                   : NULL;
    if (options->oidc_ca_file != NULL && ca == NULL) {
        return NULL;
    }
    cleanup(json_release)
    json_t *jwt = json_pack("{s:{s:s, s:[s], s:s*}, s:{s:{s:s, s:s}}, s:[]}", "issuer", "url",
                            options->oidc_issuer_url, "audiences", options->oidc_client_id,
                            "certificateAuthority", ca, "claimMappings", "username", "claim",
                            options->oidc_username_claim, "prefix", prefix, "claimValidationRules");
    if (options->oidc_groups_claim != NULL) {
        const char *groups_prefix = options->oidc_groups_prefix ? options->oidc_groups_prefix : "";
        json_object_set_new(
            json_object_get(jwt, "claimMappings"), "groups",
            json_pack("{s:s, s:s}", "claim", options->oidc_groups_claim, "prefix", groups_prefix));
    }
    if (!add_required(json_object_get(jwt, "claimValidationRules"), &options->oidc_required_claims,
                      error)) {
        return NULL;
    }
    check_jwt(jwt, &options->issuers, FIELD_INDEX(FIELD(NULL, "jwt"), 0), &errors);
    return field_errors_any(&errors) && !refuse(&errors, error) ? NULL : steal(jwt);
}
