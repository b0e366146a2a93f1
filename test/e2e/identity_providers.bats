#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
# One store is enough: what is shown does not depend on it.
#
# Who callers are by the word of others: an OpenID Connect issuer, a webhook; and bootstrap tokens.

load helpers
load identities

setup_file() {
    export DATA=$BATS_FILE_TMPDIR/data ISSUER_PORT
    ISSUER_PORT=$(free_port)
    ISSUER=https://127.0.0.1:$ISSUER_PORT
    mkdir -p "$DATA/public/.well-known" "$DATA/reviews" "$DATA/others"
    openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -subj /CN=issuer \
        -addext subjectAltName=IP:127.0.0.1 -keyout "$DATA/issuer.key" -out "$DATA/issuer.crt" -days 2 2>/dev/null
    new_key first
    jq -n --arg issuer "$ISSUER" '{issuer: $issuer, jwks_uri: "\($issuer)/keys"}' \
        >"$DATA/public/.well-known/openid-configuration"
    "$BIN/test/stub/programs/issuer" "$DATA" "$ISSUER_PORT" "$DATA/issuer.crt" "$DATA/issuer.key" \
        >"$BATS_FILE_TMPDIR/issuer.log" 2>&1 3>&- 4>&- &
    echo $! >"$BATS_FILE_TMPDIR/issuer.pid"
    wait_until 10 grep -q "issuer serves" "$BATS_FILE_TMPDIR/issuer.log"
    jq -n --arg server "$ISSUER/review" --arg ca "$(base64 -w0 "$DATA/issuer.crt")" '{apiVersion: "v1",
        kind: "Config", "current-context": "a", contexts: [{name: "a", context: {cluster: "a", user: "a"}}],
        clusters: [{name: "a", cluster: {server: $server, "certificate-authority-data": $ca}}],
        users: [{name: "a", user: {}}]}' >"$DATA/webhook"
    export FLAGS="--oidc-issuer-url $ISSUER --oidc-client-id shop --oidc-ca-file $DATA/issuer.crt
        --oidc-username-claim email --oidc-username-prefix oidc: --oidc-groups-claim groups
        --oidc-groups-prefix oidc: --oidc-required-claim tenant=blue --oidc-signing-algs RS256,ES256
        --authentication-token-webhook-config-file $DATA/webhook --authentication-token-webhook-version v1
        --authentication-token-webhook-cache-ttl 1h --enable-bootstrap-token-auth --anonymous-auth=true"
    start_server
}
teardown_file() { each_of stop_server "stop_process issuer"; }

setup() { ISSUER=https://127.0.0.1:$ISSUER_PORT; }

# modulus NAME: of that key, as bytes.
modulus() { printf "$(openssl rsa -in "$DATA/$1.rsa" -noout -modulus | cut -d= -f2 | sed 's/../\\x&/g')"; }

# new_key NAME: the issuer has one more, and only that one.
new_key() {
    openssl genpkey -quiet -algorithm RSA -pkeyopt rsa_keygen_bits:2048 -out "$DATA/$1.rsa"
    jq -n --arg id "$1" --arg n "$(modulus "$1" | encode)" \
        '{keys: [{kty: "RSA", use: "sig", alg: "RS256", kid: $id, n: $n, e: "AQAB"}]}' >"$DATA/public/keys.new"
    mv "$DATA/public/keys.new" "$DATA/public/keys"
}

# id_token KEY [MORE CLAIMS]: of Jane, unless they say otherwise.
id_token() {
    forge "$DATA/$1.rsa" "$(jq -nc --arg iss "$ISSUER" --argjson now "$(date +%s)" --argjson more "${2:-{\}}" \
        '{iss: $iss, aud: "shop", exp: ($now + 600), iat: $now, sub: "1", email: "jane@x.org",
        groups: ["a", "b"], tenant: "blue"} + $more')" "{\"alg\":\"RS256\",\"kid\":\"$1\"}"
}

asked() { grep -c "$1" "$DATA/asked"; }

@test "an issuer's token is its user, with the groups it claims" {
    knows_jane() { [ "$(who "$(id_token first)")" = "oidc:jane@x.org oidc:a,oidc:b,system:authenticated " ]; }
    wait_until 10 knows_jane
    [ "$(who "$(id_token first '{"groups":"one","aud":["x","shop"],"jti":"7","email_verified":true}')")" = \
        "oidc:jane@x.org oidc:one,system:authenticated credential-id" ]
    [ "$(who "$(id_token first '{"groups":null}')")" = "oidc:jane@x.org system:authenticated " ]
}

@test "a token that the issuer did not mean is refused" {
    local claims
    for claims in '{"aud":"other"}' '{"exp":1}' '{"exp":null}' '{"nbf":9999999999}' '{"email":null}' \
        '{"email_verified":false}' '{"tenant":"red"}' '{"tenant":null}' '{"groups":[1]}' '{"iss":"https://x"}'; do
        [ "$(who "$(id_token first "$claims")")" = 401 ]
    done
    [ "$(review "$(id_token first '{"tenant":"red"}')" | jq -r .error)" = \
        "[invalid bearer token, oidc: required claim tenant value does not match. Got = red, want = blue]" ]
    [ "$(review "$(id_token first '{"email_verified":false}')" | jq -r .error)" = \
        "[invalid bearer token, oidc: email not verified]" ]
    openssl genpkey -quiet -algorithm RSA -pkeyopt rsa_keygen_bits:2048 -out "$DATA/foreign.rsa"
    claims=$(id_token first | cut -d. -f2 | decode)
    [ "$(who "$(forge "$DATA/foreign.rsa" "$claims" '{"alg":"RS256","kid":"first"}')")" = 401 ]
    [[ "$(who "$(forge "$DATA/first.rsa" "$claims" '{"alg":"RS256","kid":"first"}')")" == oidc:jane* ]]
}

@test "new keys of the issuer are fetched when they are needed, but not for all rubbish" {
    local before
    new_key second
    [[ "$(who "$(id_token second)")" == "oidc:jane@x.org "* ]]
    [ "$(who "$(id_token first '{"jti":"new"}')")" = 401 ]
    before=$(asked "GET /keys")
    for i in 1 2 3 4 5 6 7 8; do
        [ "$(who "$(id_token first "{\"jti\":\"$i\"}")")" = 401 ]
    done
    [ $(($(asked "GET /keys") - before)) -le 4 ]
    [[ "$(who "$(id_token second)")" == "oidc:jane@x.org "* ]]
}

@test "a webhook knows whose a token is, and is asked once" {
    local before
    echo '{"authenticated":true,"user":{"username":"hook","uid":"7","groups":["g"],"extra":{"k":["v"]}}}' \
        >"$DATA/reviews/hooked"
    [ "$(who hooked)" = "hook g,system:authenticated k" ]
    before=$(asked "POST /review")
    [ "$(who hooked)" = "hook g,system:authenticated k" ]
    [ "$(who hooked)" = "hook g,system:authenticated k" ]
    [ "$(asked "POST /review")" = "$before" ]
    [ "$(who unknown)" = 401 ]
    [ "$(who unknown)" = 401 ]
    [ "$(asked "POST /review")" = $((before + 1)) ]
    echo '{"authenticated":false,"error":"token is on a list"}' >"$DATA/reviews/listed"
    [ "$(review listed)" = '{"user":{},"error":"[invalid bearer token, token is on a list]"}' ]
    echo '{"authenticated":true,"user":{"username":"hook"},"audiences":["vault"]}' >"$DATA/reviews/vaulted"
    [ "$(who vaulted)" = 401 ]
    [ "$(review vaulted '["vault","x"]' | jq -c '[.user.username, .audiences]')" = '["hook",["vault"]]' ]
}

@test "a webhook that is slow or down holds up nobody else" {
    local pids=()
    kill -STOP "$(cat "$BATS_FILE_TMPDIR/issuer.pid")"
    for i in 1 2 3; do
        who "down$i" >"$BATS_TEST_TMPDIR/$i" &
        pids+=($!)
    done
    for i in 1 2 3 4 5; do [ "$(api GET /readyz)" = ok ]; done
    k create configmap while-down -n default >/dev/null
    [ ! -s "$BATS_TEST_TMPDIR/1" ]
    kill -CONT "$(cat "$BATS_FILE_TMPDIR/issuer.pid")"
    wait "${pids[@]}"
    [ "$(cat "$BATS_TEST_TMPDIR"/[123])" = "$(printf '401\n401\n401')" ]
}

no_token_is_logged() { not grep -qE 'hooked|odd|0123456789abcdef|eyJ' "$BATS_FILE_TMPDIR/log"; }

# failing JSON: how the other server fails from now on.
failing() { echo "$1" >"$DATA/failing"; }
resident_kb() { awk '/^VmRSS/ { print $2 }' "/proc/$(pgrep -P "$(cat "$BATS_FILE_TMPDIR/pid")" -x coracle-apiserv)/status"; }

@test "a webhook that answers something else lets nobody in" {
    local answer before n=0
    echo '{"authenticated":true,"user":{"username":"hook"}}' | tee "$DATA/others/odd" >"$DATA/reviews/odd"
    while read -r answer; do
        failing "$(jq -nc --arg raw "$answer" '{raw: $raw}')"
        [ "$(who "odd$((n++))")" = 401 ]
    done <<'END'

<html>
{"status":
[]
"authenticated"
{}
{"status":true}
{"status":{"authenticated":"true","user":{"username":"a"}}}
{"status":{"authenticated":true,"user":{"username":["a"]}}}
{"status":{"authenticated":true,"user":{"username":"a\u0000b"}}}
{"status":{"authenticated":true,"user":{"username":"a","groups":"system:masters"}}}
{"status":{"authenticated":true,"user":{"username":"a","groups":[1]}}}
{"status":{"authenticated":true,"user":{"username":"a","extra":{"k":"v"}}}}
{"status":{"authenticated":true,"user":"a"}}
END
    # A token is nothing to carry elsewhere.
    before=$(asked "POST /other" || true)
    failing "{\"path\":\"/review\",\"code\":307,\"location\":\"$ISSUER/other\"}"
    [ "$(who odd)" = 401 ]
    [ "$(asked "POST /other" || true)" = "$before" ]
    before=$(resident_kb)
    failing '{"size":10000000}'
    for n in 1 2 3 4 5; do [ "$(who "large$n")" = 401 ]; done
    echo "resident: $before kB, then $(resident_kb) kB"
    grep -q lib[at]san "/proc/$(pgrep -P "$(cat "$BATS_FILE_TMPDIR/pid")" -x coracle-apiserv)/maps" || [ "$(resident_kb)" -lt $((before + 10000)) ]
    rm "$DATA/failing"
    [ "$(who odd)" = "hook system:authenticated " ] # Nothing of it was kept.
}

@test "an issuer that answers something else changes no keys" {
    local answer reason n=0
    no_token_is_logged
    stop_server
    start_server # May fetch keys again three times at once.
    knows_second() { [[ "$(who "$(id_token second)")" == "oidc:jane@x.org "* ]]; }
    wait_until 10 knows_second
    new_key third
    while IFS='|' read -r reason answer; do
        failing "$answer"
        [ "$(who "$(id_token third "{\"jti\":\"x$((n++))\"}")")" = 401 ]
        grep -qF "the keys of $ISSUER could not be fetched: $reason" "$BATS_FILE_TMPDIR/log"
        [[ "$(who "$(id_token second "{\"jti\":\"y$n\"}")")" == "oidc:jane@x.org "* ]]
    done <<END
invalid JSON|{"path":"/.well-known/openid-configuration","raw":"<html>"}
GET $ISSUER/keys: the answer has more than 1048576 bytes|{"path":"/keys","size":10000000}
GET $ISSUER/keys: Protocol "http" not supported|{"path":"/keys","code":307,"location":"http://127.0.0.1:$ISSUER_PORT/keys"}
END
    # It may send us elsewhere, as long as nobody can listen.
    cp "$DATA/public/keys" "$DATA/public/moved"
    failing "{\"path\":\"/keys\",\"code\":307,\"location\":\"$ISSUER/moved\"}"
    stop_server
    start_server
    knows_third() { [[ "$(who "$(id_token third)")" == "oidc:jane@x.org "* ]]; }
    wait_until 10 knows_third
    rm "$DATA/failing"
}

@test "a bootstrap token is good as its secret says" {
    local id=abcdef secret=0123456789abcdef
    bootstrap() {
        jq -n --argjson more "$1" '{apiVersion: "v1", kind: "Secret", type: "bootstrap.kubernetes.io/token",
            metadata: {name: "bootstrap-token-abcdef", namespace: "kube-system"}, stringData: ({
            "token-id": "abcdef", "token-secret": "0123456789abcdef",
            "usage-bootstrap-authentication": "true"} + $more)}' | k replace --force -f - >/dev/null 2>&1
    }
    [ "$(who $id.$secret)" = 401 ]
    bootstrap '{"auth-extra-groups":"system:bootstrappers:kubeadm:default-node-token,system:bootstrappers:a"}'
    [ "$(who $id.$secret)" = "system:bootstrap:$id system:bootstrappers,system:bootstrappers:a,system:bootstrappers:kubeadm:default-node-token,system:authenticated " ]
    for wrong in $id.0123456789abcdee $id.0123456789abcde $id.0123456789ABCDEF abcdeg.$secret; do
        [ "$(who $wrong)" = 401 ]
    done
    for more in '{"usage-bootstrap-authentication":"false"}' '{"expiration":"2020-01-01T00:00:00Z"}' \
        '{"auth-extra-groups":"system:masters"}' '{"token-secret":"other6789abcdefg"}'; do
        bootstrap "$more"
        [ "$(who $id.$secret)" = 401 ]
    done
    bootstrap '{"expiration":"2199-01-01T00:00:00Z"}'
    [ "$(who $id.$secret)" = "system:bootstrap:$id system:bootstrappers,system:authenticated " ]
    k delete secret bootstrap-token-abcdef -n kube-system >/dev/null
    [ "$(who $id.$secret)" = 401 ]
}

# configuration [LINE…]: with the issuer, its audiences other than the flags', and more lines.
configuration() {
    printf '%s\n' 'apiVersion: apiserver.config.k8s.io/v1' 'kind: AuthenticationConfiguration' "$@"
    [ $# -gt 1 ] || jq -n --arg url "$ISSUER" --rawfile ca "$DATA/issuer.crt" '{issuer: {url: $url, certificateAuthority: $ca,
        discoveryURL: "\($url)/elsewhere", audiences: ["shop", "bank"], audienceMatchPolicy: "MatchAny"},
        claimMappings: {username: {claim: "sub", prefix: "config:"}, uid: {claim: "email"}, groups: {claim: "groups", prefix: ""}},
        claimValidationRules: [{claim: "tenant", requiredValue: "blue"}]}' | sed '1s/^/jwt:\n- /; 2,$s/^/  /'
}

@test "a configuration names issuers, and who may be anonymous; issuers are read again" {
    local server=("$BIN/coracle-apiserver" --tls-cert-file "$DATA/pki/apiserver.crt" --tls-private-key-file "$DATA/pki/apiserver.key" --store-file "$BATS_TEST_TMPDIR/store")
    configuration 'anonymous: {enabled: true, conditions: [{path: /readyz}]}' >"$DATA/authn.yaml"
    run "${server[@]}" --authentication-config "$DATA/authn.yaml" --anonymous-auth=false
    [[ "$output" == *"--anonymous-auth flag cannot be set when anonymous field is configured"* ]]
    run "${server[@]}" --authentication-config "$DATA/authn.yaml" --oidc-client-id x
    [[ "$output" == *"authentication-config file and oidc-* flags are mutually exclusive"* ]]
    stop_server
    # The issuer is found elsewhere, and still says who it is.
    mv "$DATA/public/.well-known/openid-configuration" "$DATA/public/elsewhere"
    FLAGS="--authentication-config $DATA/authn.yaml" start_server
    knows() { [ "$(who "$1")" = "$2" ]; }
    wait_until 10 knows "$(id_token third)" "config:1 a,b,system:authenticated "
    [ "$(jq -r .status.userInfo.uid "$BATS_TEST_TMPDIR/body")" = jane@x.org ]
    knows "$(id_token third '{"aud":["x","bank"]}')" "config:1 a,b,system:authenticated "
    for claims in '{"aud":"x"}' '{"aud":[]}' '{"tenant":"red"}' '{"email":null}' '{"sub":null}' '{"iss":"https://x"}'; do
        knows "$(id_token third "$claims")" 401
    done
    each_code() { for path in "$@"; do code "$path"; done | xargs; }
    code() { curl -sS -o /dev/null -w '%{http_code}\n' --path-as-is --cacert "$DATA/pki/ca.crt" "https://127.0.0.1:$PORT$1"; }
    run each_code /readyz '/readyz?verbose' /livez /readyz/ping /%72eadyz /api
    [ "$output" = "200 200 401 401 401 401" ]
    # What is wrong changes nothing, and says so.
    echo 'jwt: 7' >>"$DATA/authn.yaml"
    wait_until 10 grep -q "keeping the present authentication configuration: $DATA/authn.yaml" "$BATS_FILE_TMPDIR/log"
    knows "$(id_token third '{"jti":"kept"}')" "config:1 a,b,system:authenticated credential-id"
    configuration '' | sed 's/config:/other:/; s/"bank"/"ship"/' >"$DATA/authn.new"
    mv "$DATA/authn.new" "$DATA/authn.yaml"
    wait_until 10 knows "$(id_token third)" "other:1 a,b,system:authenticated "
    knows "$(id_token third '{"aud":"bank"}')" 401
    configuration '' '' >"$DATA/authn.yaml" # None at all.
    wait_until 10 knows "$(id_token third)" 401
    [ "$(code /readyz) $(code /livez)" = "200 401" ] # As at the start.
    mv "$DATA/public/elsewhere" "$DATA/public/.well-known/openid-configuration"
}

@test "no token is in the log" {
    no_token_is_logged
}
