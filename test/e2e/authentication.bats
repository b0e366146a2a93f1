#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
# One store is enough: what is shown does not depend on it.
#
# Who callers are: tokens of service accounts, certificates, front proxies, impersonation.

load helpers
load identities

ISSUER=https://kubernetes.default.svc.cluster.local

setup_file() {
    export DATA=$BATS_FILE_TMPDIR/data
    mkdir -p "$DATA"
    authority proxies
    FLAGS="--requestheader-client-ca-file $DATA/proxies.crt --requestheader-allowed-names proxy
        --requestheader-username-headers X-Remote-User --requestheader-group-headers X-Remote-Group
        --requestheader-uid-headers X-Remote-Uid --requestheader-extra-headers-prefix X-Remote-Extra-
        --service-account-max-token-expiration 48h --verbose" start_server
    k create clusterrole reads --verb=list --resource=configmaps >/dev/null
    k create clusterrolebinding reads --clusterrole=reads --group=system:serviceaccounts >/dev/null
}
teardown_file() { stop_server; }

# request ACCOUNT SPEC: the answer to a TokenRequest.
request() {
    api POST "/api/v1/namespaces/$NS/serviceaccounts/$1/token" --json "{\"spec\":$2}"
}

# new_account: one in a namespace of its own, with its claims in ACCOUNT.
new_account() {
    new_namespace
    k create serviceaccount robot -n "$NS" >/dev/null
    ACCOUNT=$(k get serviceaccount robot -n "$NS" -o json |
        jq -c '{namespace: .metadata.namespace, serviceaccount: {name: "robot", uid: .metadata.uid}}')
}

# good_claims [MORE IN JSON]: of a token that would be accepted.
good_claims() {
    jq -nc --arg iss "$ISSUER" --argjson account "$ACCOUNT" --argjson now "$(date +%s)" \
        --argjson more "${1:-{\}}" '{iss: $iss, aud: [$iss], exp: ($now + 600), nbf: $now, iat: $now,
        sub: "system:serviceaccount:\($account.namespace):robot", "kubernetes.io": $account} * $more'
}

pod() {
    k apply -n "$NS" -f - >/dev/null <<YAML
apiVersion: v1
kind: Pod
metadata: {name: $1}
spec: {serviceAccountName: robot, nodeName: "$2", containers: [{name: a, image: a}]}
YAML
}

@test "kubectl makes a token, and the server knows whose it is" {
    needs_kubectl 1.24
    new_account
    local token uid
    token=$(k create token robot -n "$NS")
    uid=$(jq -r .serviceaccount.uid <<<"$ACCOUNT")
    [ "$(who "$token")" = "system:serviceaccount:$NS:robot system:serviceaccounts,system:serviceaccounts:$NS,system:authenticated credential-id" ]
    [ "$(jq -r '.status.userInfo.uid' "$BATS_TEST_TMPDIR/body")" = "$uid" ]
    [ "$(jq -r '.status.userInfo.extra["authentication.kubernetes.io/credential-id"][0]' "$BATS_TEST_TMPDIR/body")" = \
        "JTI=$(claims "$token" .jti | tr -d \")" ]
    [ "$(as "$token" "/api/v1/namespaces/$NS/configmaps")" = 200 ]
    [ "$(as "$token" "/api/v1/namespaces/$NS/secrets")" = 403 ]
    [ "$(claims "$token" 'keys | join(" ")')" = '"aud exp iat iss jti kubernetes.io nbf sub"' ]
    [ "$(claims "$token" '[.aud, .iss, .exp - .iat, .sub]')" = \
        "[[\"$ISSUER\"],\"$ISSUER\",3600,\"system:serviceaccount:$NS:robot\"]" ]
    [ "$(claims "$token" '."kubernetes.io"')" = "$ACCOUNT" ]
    needs_kubectl 1.28
    run k --kubeconfig /dev/null --server "https://127.0.0.1:$PORT" \
        --certificate-authority "$DATA/pki/ca.crt" --token "$token" auth whoami
    [[ "$output" == *"system:serviceaccount:$NS:robot"* ]]
}

@test "a token is good for whom and as long as was asked" {
    new_account
    local answer
    answer=$(request robot '{"audiences":["vault","'$ISSUER'"],"expirationSeconds":700}')
    [ "$(jq -c '[.kind, .apiVersion, .metadata.name, .metadata.namespace, .spec]' <<<"$answer")" = \
        "[\"TokenRequest\",\"authentication.k8s.io/v1\",\"robot\",\"$NS\",{\"audiences\":[\"vault\",\"$ISSUER\"],\"expirationSeconds\":700,\"boundObjectRef\":null}]" ]
    [ "$(claims "$(jq -r .status.token <<<"$answer")" '[.aud, .exp - .iat]')" = "[[\"vault\",\"$ISSUER\"],700]" ]
    [[ "$(request robot '{"expirationSeconds":599}' | jq -r '"\(.code) \(.message)"')" == \
        '422 TokenRequest.authentication.k8s.io "" is invalid: spec.expirationSeconds: Invalid value: 599: may not specify a duration less than 10 minutes' ]]
    [[ "$(request robot '{"expirationSeconds":4294967297}' | jq -r .message)" == *"may not specify a duration larger than 2^32 seconds" ]]
    [ "$(request nobody '{}' | jq -r '"\(.code) \(.message)"')" = '404 serviceaccounts "nobody" not found' ]
    [[ "$(api POST "/api/v1/namespaces/$NS/serviceaccounts/robot/token" --json '{"metadata":{"name":"other"}}' | jq -r .message)" == \
        *'metadata.name: Invalid value: "other": must match the service account name if specified' ]]
    answer=$(request robot '{"expirationSeconds":999999}' -i)
    [ "$(jq .spec.expirationSeconds <<<"$answer")" = 172800 ]
}

@test "a token for others is none for the server, and the review says for whom it is" {
    new_account
    local token
    token=$(request robot '{"audiences":["vault","shop"]}' | jq -r .status.token)
    [ "$(who "$token")" = 401 ]
    [ "$(review "$token")" = "{\"user\":{},\"error\":\"[invalid bearer token, token audiences [\\\"vault\\\" \\\"shop\\\"] is invalid for the target audiences [\\\"$ISSUER\\\"]]\"}" ]
    [ "$(review "$token" '["shop","bank"]' | jq -c '[.authenticated, .audiences, .user.username]')" = \
        "[true,[\"shop\"],\"system:serviceaccount:$NS:robot\"]" ]
    token=$(request robot '{}' | jq -r .status.token)
    [ "$(review "$token" | jq -c '[.authenticated, .audiences]')" = "[true,[\"$ISSUER\"]]" ]
    [ "$(review "$token" '["shop"]' | jq .authenticated)" = null ]
    [ "$(review rubbish)" = '{"user":{},"error":"invalid bearer token"}' ]
    [ "$(api POST /apis/authentication.k8s.io/v1/tokenreviews --json '{"spec":{}}' | jq -r .message)" = \
        "token is required for TokenReview in authentication" ]
}

@test "a forged, broken or untimely token is refused" {
    new_account
    local key=$DATA/pki/sa.key good now none public token
    now=$(date +%s)
    good=$(forge "$key" "$(good_claims)")
    [[ "$(who "$good")" == system:serviceaccount:* ]]
    authority foreign
    openssl genpkey -quiet -algorithm RSA -pkeyopt rsa_keygen_bits:2048 -out "$DATA/foreign.rsa"
    none=$(printf '{"alg":"none"}' | encode).$(good_claims | encode)
    public=$(printf '{"alg":"HS256"}' | encode).$(good_claims | encode)
    local -A reason=(
        ["$(forge "$DATA/foreign.rsa" "$(good_claims)" \
            "$(cut -d. -f1 <<<"$(request robot '{}' | jq -r .status.token)" | decode)")"]="go-jose/go-jose: error in cryptographic primitive"
        ["$none."]="go-jose/go-jose: error in cryptographic primitive"
        ["$public.$(printf '%s' "$public" | openssl dgst -sha256 -hmac "$(cat "$DATA/pki/sa.pub")" -binary | encode)"]="go-jose/go-jose: error in cryptographic primitive"
        ["$(forge "$key" "$(good_claims "{\"exp\":$((now - 61))}")")"]="service account token has expired"
        ["$(forge "$key" "$(good_claims "{\"nbf\":$((now + 99))}")")"]="service account token is not valid yet"
        ["$(forge "$key" "$(good_claims "{\"iat\":$((now + 99))}")")"]="service account token is issued in the future"
        ["$(forge "$key" "$(good_claims '{"iss":"https://elsewhere"}')")"]=""
        ["${good%????}"]="go-jose/go-jose: error in cryptographic primitive"
        ["$none"]="" ["$good.$good"]="" ["${good%%.*}..${good##*.}"]=""
        ["$(forge "$key" "$(good_claims '{"kubernetes.io":{"serviceaccount":{"uid":"other"}}}')")"]="service account UID ($(jq -r .serviceaccount.uid <<<"$ACCOUNT")) does not match claim (other)"
        ["$(forge "$key" "$(good_claims '{"kubernetes.io":{"serviceaccount":{"name":"nobody"}}}')")"]='serviceaccounts \"nobody\" not found'
        ["$(forge "$key" "$(good_claims '{"kubernetes.io":{"namespace":"kube-system/x"}}')")"]='serviceaccounts \"robot\" not found'
    )
    for token in "${!reason[@]}"; do
        [ "$(who "$token")" = 401 ]
        [ "$(jq -r .message "$BATS_TEST_TMPDIR/body")" = Unauthorized ]
        if [ -n "${reason[$token]}" ]; then
            [ "$(review "$token")" = "{\"user\":{},\"error\":\"[invalid bearer token, ${reason[$token]}]\"}" ]
        else
            [ "$(review "$token")" = '{"user":{},"error":"invalid bearer token"}' ]
        fi
    done
    [ "$(who "$good" -H "Authorization: Bearer $good")" = 400 ]
    not grep -qF "${good:0:40}" "$BATS_FILE_TMPDIR/log"
}

@test "a token of a pod tells where it runs and dies with it" {
    new_account
    local ref token uid
    k apply -f - >/dev/null <<<'{"kind":"Node","apiVersion":"v1","metadata":{"name":"here"}}'
    pod web here
    ref='{"kind":"Pod","apiVersion":"v1","name":"web"}'
    token=$(request robot "{\"expirationSeconds\":3607,\"boundObjectRef\":$ref}" | jq -r .status.token)
    uid=$(k get pod web -n "$NS" -o jsonpath='{.metadata.uid}')
    [ "$(claims "$token" '."kubernetes.io" | [.pod.name, .pod.uid, .node.name, .node.uid]')" = \
        "[\"web\",\"$uid\",\"here\",$(k get node here -o json | jq .metadata.uid)]" ]
    [ "$(claims "$token" '[.exp - .iat, ."kubernetes.io".warnafter - .iat]')" = "[31536000,3607]" ]
    [[ "$(who "$token")" == *" credential-id,node-name,node-uid,pod-name,pod-uid" ]]
    [[ "$(who "$token")" == *" credential-id,node-name,node-uid,pod-name,pod-uid" ]]
    [[ "$(request robot "{\"boundObjectRef\":$(jq -c '.uid = "other"' <<<"$ref")}" | jq -r '"\(.code) \(.message)"')" == \
        '409 Operation cannot be fulfilled on Pod "web": the UID in the bound object reference (other) does not match the UID in record. The object might have been deleted and then recreated' ]]
    [ "$(request default "{\"boundObjectRef\":$ref}" | jq -r .code)" = 404 ]
    k create serviceaccount other -n "$NS" >/dev/null
    [ "$(request other "{\"boundObjectRef\":$ref}" | jq -r .message)" = \
        'cannot bind token for serviceaccount "other" to pod running with different serviceaccount name.' ]
    [ "$(request robot '{"boundObjectRef":{"kind":"Deployment","apiVersion":"apps/v1","name":"a"}}' | jq -r .message)" = \
        'cannot bind token to object of type apps/v1, Kind=Deployment' ]
    k delete pod web -n "$NS" --grace-period=0 --force >/dev/null 2>&1
    [ "$(who "$token")" = 401 ]
    [ "$(review "$token" | jq -r .error)" = "[invalid bearer token, service account token has been invalidated]" ]
    pod web ""
    [ "$(who "$token")" = 401 ]
    [[ "$(review "$token" | jq -r .error)" == *"does not match service account pod ref claim ($uid)]" ]]
}

@test "a token dies with its secret, node and account" {
    new_account
    local kind token
    k create secret generic bound -n "$NS" >/dev/null
    k apply -f - >/dev/null <<<'{"kind":"Node","apiVersion":"v1","metadata":{"name":"bound"}}'
    for kind in secret node; do
        token=$(request robot "{\"boundObjectRef\":{\"kind\":\"${kind^}\",\"apiVersion\":\"v1\",\"name\":\"bound\"}}" | jq -r .status.token)
        [[ "$(who "$token")" == system:serviceaccount:* ]]
        k delete $kind bound -n "$NS" >/dev/null
        [ "$(who "$token")" = 401 ]
    done
    token=$(request robot '{}' | jq -r .status.token)
    [[ "$(who "$token")" == system:serviceaccount:* ]]
    k delete serviceaccount robot -n "$NS" >/dev/null
    [ "$(who "$token")" = 401 ]
    k create serviceaccount robot -n "$NS" >/dev/null
    [ "$(who "$token")" = 401 ]
}

@test "a token in a secret is good while the secret holds it, and its use is noted" {
    new_account
    local token uid
    uid=$(jq -r .serviceaccount.uid <<<"$ACCOUNT")
    token=$(forge "$DATA/pki/sa.key" "$(jq -nc --arg ns "$NS" --arg uid "$uid" '{
        iss: "kubernetes/serviceaccount", "kubernetes.io/serviceaccount/namespace": $ns,
        "kubernetes.io/serviceaccount/secret.name": "kept", sub: "system:serviceaccount:\($ns):robot",
        "kubernetes.io/serviceaccount/service-account.name": "robot",
        "kubernetes.io/serviceaccount/service-account.uid": $uid}')")
    [ "$(who "$token")" = 401 ]
    [ "$(review "$token" | jq -r .error)" = "[invalid bearer token, Token has been invalidated]" ]
    k create secret generic kept -n "$NS" --from-literal=token="$token" >/dev/null
    [[ "$(who "$token")" == "system:serviceaccount:$NS:robot system:serviceaccounts,"* ]]
    [ "$(k get secret kept -n "$NS" -o json | jq -r '.metadata.labels["kubernetes.io/legacy-token-last-used"]')" = \
        "$(date -u +%F)" ]
    k label secret kept -n "$NS" kubernetes.io/legacy-token-invalid-since=2020-01-01 >/dev/null
    [[ "$(review "$token" | jq -r .error)" == *"has been marked invalid. Use tokens from the TokenRequest API"* ]]
    k label secret kept -n "$NS" kubernetes.io/legacy-token-invalid-since- >/dev/null
    k patch secret kept -n "$NS" -p '{"stringData":{"token":"other"}}' >/dev/null
    [ "$(who "$token")" = 401 ]
    [ "$(review "$token" | jq -r .error)" = "[invalid bearer token, Token does not match server's copy]" ]
}

@test "others find the keys to verify tokens with" {
    local uri
    new_account
    [ "$(api GET /.well-known/openid-configuration | jq -c '[.issuer, .response_types_supported, .subject_types_supported, .id_token_signing_alg_values_supported]')" = \
        "[\"$ISSUER\",[\"id_token\"],[\"public\"],[\"RS256\"]]" ]
    uri=$(api GET /.well-known/openid-configuration | jq -r .jwks_uri)
    [ "$uri" = "https://127.0.0.1:$PORT/openid/v1/jwks" ]
    [ "$(api GET /openid/v1/jwks | jq -r '.keys[0].kid')" = \
        "$(request robot '{}' | jq -r .status.token | cut -d. -f1 | decode | jq -r .kid)" ]
    [ "$(api GET /openid/v1/jwks | jq -c '.keys | map([.kty, .alg, .use])')" = '[["RSA","RS256","sig"]]' ]
    [ "$(as "$(request robot '{}' | jq -r .status.token)" /openid/v1/jwks)" = 200 ]
}

@test "new keys are taken up while the old ones still verify" {
    new_account
    local old
    old=$(request robot '{}' | jq -r .status.token)
    openssl ecparam -name prime256v1 -genkey -noout -out "$DATA/new.key"
    cat "$DATA/pki/sa.pub" <(openssl pkey -in "$DATA/new.key" -pubout) >"$DATA/both.pub"
    mv "$DATA/both.pub" "$DATA/pki/sa.pub"
    cp "$DATA/pki/sa.key" "$DATA/old.key"
    mv "$DATA/new.key" "$DATA/pki/sa.key"
    is_new() { [ "$(request robot '{}' | jq -r .status.token | cut -d. -f1 | decode | jq -r .alg)" = ES256 ]; }
    wait_until 10 is_new
    [[ "$(who "$(request robot '{}' | jq -r .status.token)")" == system:serviceaccount:* ]]
    [[ "$(who "$old")" == system:serviceaccount:* ]]
    mv "$DATA/old.key" "$DATA/pki/sa.key"
    openssl pkey -in "$DATA/pki/sa.key" -pubout -out "$DATA/pki/sa.pub"
    wait_until 10 not is_new
}

@test "a certificate tells who asks, and authorities may change" {
    local me=(--json "$whoami_body" -o "$BATS_TEST_TMPDIR/body" -w '%{http_code}')
    ask() {
        curl -sS --cacert "$DATA/pki/ca.crt" --cert "$DATA/$1.crt" --key "$DATA/$1.key" "${me[@]}" "${@:2}" \
            "https://127.0.0.1:$PORT/apis/authentication.k8s.io/v1/selfsubjectreviews"
    }
    certificate jane /O=builders/O=painters/CN=jane "$DATA/pki/ca"
    [ "$(ask jane)" = 201 ]
    [ "$(user)" = "jane builders,painters,system:authenticated credential-id" ]
    [ "$(jq -r '.status.userInfo.extra["authentication.kubernetes.io/credential-id"][0]' "$BATS_TEST_TMPDIR/body")" = \
        "X509SHA256=$(openssl x509 -in "$DATA/jane.crt" -outform der | sha256sum | cut -d' ' -f1)" ]
    authority strangers
    certificate eve /O=system:masters/CN=eve "$DATA/strangers"
    [ "$(ask eve)" = 401 ]
    cp "$DATA/pki/ca.crt" "$DATA/ca.before"
    cat "$DATA/ca.before" "$DATA/strangers.crt" >"$DATA/pki/ca.crt"
    knows_eve() { [ "$(ask eve)" = 201 ]; }
    wait_until 10 knows_eve
    mv "$DATA/ca.before" "$DATA/pki/ca.crt"
    wait_until 10 not knows_eve
}

@test "a front proxy says who asks, and nobody else does" {
    local headers=(-H 'X-Remote-User: joe' -H 'X-Remote-Group: a' -H 'X-Remote-Group: b' -H 'X-Remote-Uid: 7' -H 'X-Remote-Extra-Site: here')
    ask() {
        curl -sS --cacert "$DATA/pki/ca.crt" --cert "$DATA/$1.crt" --key "$DATA/$1.key" -o "$BATS_TEST_TMPDIR/body" \
            -w '%{http_code}' --json "$whoami_body" "${headers[@]}" \
            "https://127.0.0.1:$PORT/apis/authentication.k8s.io/v1/selfsubjectreviews"
    }
    certificate proxy /CN=proxy "$DATA/proxies"
    certificate other /CN=other "$DATA/proxies"
    certificate client /CN=client "$DATA/pki/ca"
    [ "$(ask proxy)" = 201 ]
    [ "$(user)" = "joe a,b,system:authenticated site" ]
    [ "$(ask other)" = 401 ]
    [ "$(ask client)" = 201 ]
    [ "$(user)" = "client system:authenticated credential-id" ]
}

@test "an administrator may act as others, and others may not" {
    new_account
    needs_kubectl 1.28
    [ "$(k auth whoami -o json --as=jane --as-group=builders | jq -c '.status.userInfo | [.username, .groups]')" = \
        '["jane",["builders","system:authenticated"]]' ]
    [ "$(k auth whoami -o json --as=system:serviceaccount:$NS:robot | jq -c .status.userInfo.groups)" = \
        "[\"system:serviceaccounts\",\"system:serviceaccounts:$NS\",\"system:authenticated\"]" ]
    run k get secrets -n "$NS" --as=jane
    [[ "$output" == *'User "jane" cannot list resource "secrets"'* ]]
    local token
    token=$(request robot '{}' | jq -r .status.token)
    [ "$(who "$token" -H 'Impersonate-User: admin')" = 403 ]
    [ "$(jq -r .message "$BATS_TEST_TMPDIR/body")" = \
        "users \"admin\" is forbidden: User \"system:serviceaccount:$NS:robot\" cannot impersonate resource \"users\" in API group \"\" at the cluster scope" ]
    [ "$(who "$token" -H 'Impersonate-Group: system:masters')" = 500 ]
    k create clusterrole actor --verb=impersonate --resource=users --resource-name=jane >/dev/null
    k create clusterrolebinding actor --clusterrole=actor --serviceaccount="$NS:robot" >/dev/null
    [ "$(who "$token" -H 'Impersonate-User: jane')" = "jane system:authenticated " ]
    [ "$(who "$token" -H 'Impersonate-User: jane' -H 'Impersonate-Group: system:masters')" = 403 ]
    [ "$(who "$token" -H 'Impersonate-User: jane' -H 'Impersonate-Extra-Scopes: all')" = 403 ]
    [ "$(who "$token" -H 'Impersonate-User: jane%0d%0aImpersonate-Group: system:masters')" = 403 ]
}
