# SPDX-License-Identifier: Apache-2.0
# What tests of callers' identities share: certificates and tokens, and whom the server takes them for.

# ---- certificates ----

# authority NAME: a key and a certificate of its own.
authority() {
    openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -subj "/CN=$1" \
        -keyout "$DATA/$1.key" -out "$DATA/$1.crt" -days 2 2>/dev/null
}

# certificate NAME SUBJECT AUTHORITY: for a client.
certificate() {
    openssl req -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -subj "$2" \
        -keyout "$DATA/$1.key" 2>/dev/null |
        openssl x509 -req -CA "$3.crt" -CAkey "$3.key" -days 2 -out "$DATA/$1.crt" \
            -extfile <(echo extendedKeyUsage=clientAuth) 2>/dev/null
}

# ---- tokens ----

encode() { base64 -w0 | tr '+/' '-_' | tr -d =; }
decode() {
    local text
    text=$(cat)
    while [ $((${#text} % 4)) != 0 ]; do text+==; done
    tr -- '-_' '+/' <<<"$text" | base64 -d
}

# claims TOKEN [JQ FILTER]
claims() { cut -d. -f2 <<<"$1" | decode | jq -c "${2:-.}"; }

# forge KEY CLAIMS [HEADER]: a token that is signed with RS256.
forge() {
    local text
    text=$(printf '%s' "${3:-{\"alg\":\"RS256\"\}}" | encode).$(printf '%s' "$2" | encode)
    printf '%s.%s' "$text" "$(printf '%s' "$text" | openssl dgst -sha256 -sign "$1" -binary | encode)"
}

# as TOKEN PATH [CURL ARGUMENTS…]: the status of the answer to who shows this token.
as() {
    local token=$1 path=$2
    shift 2
    printf 'header = "Authorization: Bearer %s"\n' "$token" |
        curl -sS -K - --cacert "$DATA/pki/ca.crt" -o "$BATS_TEST_TMPDIR/body" -w '%{http_code}' "$@" \
            "https://127.0.0.1:$PORT$path"
}

# who TOKEN: "username groups extra" as the server has it, or the status when it refuses.
whoami_body='{"kind":"SelfSubjectReview","apiVersion":"authentication.k8s.io/v1"}'
who() {
    local code
    code=$(as "$1" /apis/authentication.k8s.io/v1/selfsubjectreviews --json "$whoami_body" "${@:2}")
    if [ "$code" = 201 ]; then user; else echo "$code"; fi
}
user() {
    jq -r '.status.userInfo | .username + " " + (.groups | join(",")) + " " +
        ((.extra // {}) | keys | map(sub(".*/"; "")) | join(","))' "$BATS_TEST_TMPDIR/body"
}

# review TOKEN [AUDIENCES IN JSON]: the status of its TokenReview.
review() {
    jq -n --arg token "$1" --argjson audiences "${2:-[]}" '{kind: "TokenReview",
        apiVersion: "authentication.k8s.io/v1", spec: {token: $token, audiences: $audiences}}' |
        api POST /apis/authentication.k8s.io/v1/tokenreviews --json @- |
        jq -c .status
}
