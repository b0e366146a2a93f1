#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
# Starting wrongly ends with one clear sentence and a status that is not 0; stopping ends cleanly.

load helpers

setup_file() {
    PORT=$(server_port)
    export PORT PKI=$BATS_FILE_TMPDIR/pki
    deploy/pki "$PKI" "https://127.0.0.1:$PORT" >/dev/null
}

setup() {
    [ "${STORE:-sqlite}" = sqlite ] || skip "it is the same on each store"
    cd "$BATS_TEST_TMPDIR" || return 1
    SERVER=$BATS_TEST_DIRNAME/../../$BIN/coracle-apiserver
    TLS=(--tls-cert-file "$PKI/apiserver.crt" --tls-private-key-file "$PKI/apiserver.key")
    GOOD=(--secure-port "$PORT" "${TLS[@]}")
}

# refused STATUS SENTENCE FLAG…: the server ends with that status and says just that.
refused() {
    local expected=$1 sentence=$2 status=0
    shift 2
    timeout 30 "$SERVER" "$@" >out 2>err </dev/null || status=$?
    echo "status $status: $(cat err)"
    [ "$status" -eq "$expected" ]
    [ ! -s out ]
    [ "$(cat err)" = "coracle-apiserver: $sentence" ]
}

@test "wrong flags are named, and where help is" {
    refused 2 "unknown flag --wrong; see --help" --wrong
    refused 2 'unexpected argument "stray"; see --help' stray
    refused 2 "--store-file needs a value; see --help" --store-file
    refused 2 'invalid value "x" for --secure-port; see --help' --secure-port x
    refused 2 'invalid value "later" for --event-ttl; see --help' --event-ttl later
    refused 2 'invalid value "maybe" for --verbose; see --help' --verbose=maybe
}

@test "what is needed or does not go together is said" {
    refused 2 "--tls-cert-file and --tls-private-key-file are needed; see --help"
    refused 2 "one of --store-file and --etcd-servers is needed; see --help" "${TLS[@]}"
    refused 2 "--store-file and --etcd-servers exclude each other" "${TLS[@]}" \
        --store-file s --etcd-servers http://127.0.0.1:1
}

@test "modes of authorization go together or are refused" {
    GOOD+=(--store-file s)
    refused 2 'authorization-mode "Maybe" is not a valid mode' "${GOOD[@]}" --authorization-mode RBAC,Maybe
    refused 2 'authorization-mode "RBAC" has mode specified more than once' "${GOOD[@]}" --authorization-mode RBAC,RBAC
    refused 2 "authorization-mode Webhook's authorization config file not passed" \
        "${GOOD[@]}" --authorization-mode Webhook
    refused 2 "cannot specify --authorization-webhook-config-file without mode Webhook" \
        "${GOOD[@]}" --authorization-webhook-config-file x
    refused 2 "--authorization-webhook-version must be v1 or v1beta1" "${GOOD[@]}" --authorization-webhook-version v2
}

@test "values out of range are refused" {
    GOOD+=(--store-file s)
    refused 2 "--secure-port: 0 is no port" "${GOOD[@]}" --secure-port 0
    refused 2 "--secure-port: 65536 is no port" "${GOOD[@]}" --secure-port 65536
    refused 2 '--bind-address: "nowhere" is no IPv4 address' "${GOOD[@]}" --bind-address nowhere
    refused 2 '--advertise-address: "x" is no IPv4 address' "${GOOD[@]}" --advertise-address x
    refused 2 "--workers must not be negative" "${GOOD[@]}" --workers -1
    refused 2 "--workers must not be above 1024" "${GOOD[@]}" --workers 100000
    refused 2 "--event-ttl must not be negative" "${GOOD[@]}" --event-ttl -5m
    local range
    for range in 10.0.0.0 10.0.0.0/99 10.0.0.0/32 fd00::/16 x 10.0.0.0/24,10.1.0.0/24; do
        refused 1 "--service-cluster-ip-range: \"$range\" is no IPv4 range of between 4 and 2^24 addresses, no IPv6 range of between 4 and 2^64, and not one of each with a comma between" \
            "${GOOD[@]}" --service-cluster-ip-range "$range"
    done
    refused 1 '--service-node-port-range: "9-1" is no range of ports such as 30000-32767' \
        "${GOOD[@]}" --service-node-port-range 9-1
}

@test "files that can't be read or don't hold what they should are named" {
    local store=(--store-file s --secure-port "$PORT")
    echo nonsense >broken
    refused 1 "none can't be read: No such file or directory" "${store[@]}" \
        --tls-cert-file none --tls-private-key-file "$PKI/apiserver.key"
    refused 1 "broken holds no certificate in PEM form" "${store[@]}" \
        --tls-cert-file broken --tls-private-key-file "$PKI/apiserver.key"
    refused 1 "none can't be read: No such file or directory" "${store[@]}" \
        --tls-cert-file "$PKI/apiserver.crt" --tls-private-key-file none
    refused 1 "broken holds no private key in PEM form" "${store[@]}" \
        --tls-cert-file "$PKI/apiserver.crt" --tls-private-key-file broken
    refused 1 "the private key in $PKI/admin.key is not that of the certificate in $PKI/apiserver.crt" \
        "${store[@]}" --tls-cert-file "$PKI/apiserver.crt" --tls-private-key-file "$PKI/admin.key"
    refused 1 "none can't be read: No such file or directory" "${store[@]}" "${TLS[@]}" \
        --client-ca-file none
    refused 1 "broken holds no certificate authority in PEM form" "${store[@]}" "${TLS[@]}" \
        --client-ca-file broken
    refused 1 "the token file none can't be read: No such file or directory" "${store[@]}" \
        "${TLS[@]}" --token-auth-file none
    printf 'secret,jane,1\nsecret\n' >tokens
    refused 1 "tokens:2: expected token,user,uid with a list of groups in quotes behind" \
        "${store[@]}" "${TLS[@]}" --token-auth-file tokens
}

@test "a port that is taken is named" {
    "$SERVER" "${GOOD[@]}" --store-file first >first.log 2>&1 3>&- &
    local server=$!
    wait_until 20 grep -q "serving on" first.log
    refused 1 "can't listen on 127.0.0.1:$PORT: Address already in use" "${GOOD[@]}" --store-file s
    kill -TERM "$server"
    wait "$server"
}

@test "an etcd that is not there is named" {
    local status=0
    timeout 60 "$SERVER" "${GOOD[@]}" --etcd-servers http://127.0.0.1:1 2>err || status=$?
    [ "$status" -eq 1 ]
    [ "$(wc -l <err)" -eq 1 ]
    grep "^coracle-apiserver: .*http://127.0.0.1:1" err
    refused 1 'the etcd endpoint "ftp://127.0.0.1:1" is no http, https or unix URL' "${GOOD[@]}" \
        --etcd-servers ftp://127.0.0.1:1
}

@test "help and version go to standard output" {
    "$SERVER" --help >out 2>err
    [ ! -s err ]
    head -n 1 out | grep "API server"
    grep -x "  coracle-apiserver \[flags\]" out
    grep -x "  --secure-port int" out
    grep "(default 6443)" out
    [ "$(awk 'length > 100' out)" = "" ]
    "$SERVER" --version >out 2>err
    [ ! -s err ]
    grep -Ex "coracle-apiserver v1\.34\.0\+coracle \([0-9a-f]{40}\)" out
}

# Both builds where there are both: the sanitized one ends with a status of its own on a leak.
@test "SIGTERM amid 50 watches ends them as complete answers, with status 0" {
    local build program server watch
    for build in "$BIN" build/address-undefined; do
        program=$BATS_TEST_DIRNAME/../../$build/coracle-apiserver
        [ -x "$program" ] || continue
        rm -rf store* watches
        mkdir watches
        "$program" "${GOOD[@]}" --client-ca-file "$PKI/ca.crt" --store-file store >log 2>&1 3>&- &
        server=$!
        wait_until 20 grep -q "serving on" log
        local watches=()
        for i in $(seq 50); do
            curl -sSN --cacert "$PKI/ca.crt" --cert "$PKI/admin.crt" --key "$PKI/admin.key" \
                "https://127.0.0.1:$PORT/api/v1/namespaces?watch=true" >"watches/$i" 2>&1 3>&- &
            watches+=($!)
        done
        for i in $(seq 50); do
            wait_until 20 grep -q kube-system "watches/$i"
        done
        kill -TERM "$server"
        wait "$server" || { cat log; return 1; }
        for watch in "${watches[@]}"; do
            wait "$watch"
        done
    done
}
