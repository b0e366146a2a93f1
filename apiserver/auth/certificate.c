// SPDX-License-Identifier: Apache-2.0
/* Client certificates: CN is the user, O the groups. Who verifies them is the TLS layer. */
#include "apiserver/auth/authenticator.h"
#include "common/alloc.h"

static enum verdict ask(void *state, const struct question *question, struct identity *identity,
                        struct error *error)
{
    (void)state;
    const struct client_certificate *certificate = question->credentials->certificate;
    if (certificate == NULL) {
        return VERDICT_NOT_MINE;
    }
    if (!certificate->trusted) {
        error_set(error, 401, "Unauthorized", "the client certificate is not trusted");
        return VERDICT_REFUSED;
    }
    if (certificate->common_name[0] == '\0') {
        return VERDICT_NOT_MINE;
    }
    user_set(&identity->user, certificate->common_name, certificate->uid);
    for (char *const *group = certificate->organizations; *group != NULL; group++) {
        user_add_group(&identity->user, *group);
    }
    cleanup(free_char)
    char *credential = format("X509SHA256=%s", certificate->sha256);
    user_add_extra(&identity->user, "authentication.kubernetes.io/credential-id", credential);
    return VERDICT_KNOWN;
}

struct authenticator certificate_authenticator(void)
{
    return (struct authenticator){.ask = ask};
}
