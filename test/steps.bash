# SPDX-License-Identifier: Apache-2.0
# What the programs that run many tests share.

log=$(mktemp)
trap 'rm -f "$log"' EXIT
. test/e2e/helpers.bash
jobs=$(nproc)

# step NAME COMMAND…: its output is shown and its TAP lines are counted.
step() {
    echo "== $1"
    shift
    "$@" 2>&1 | tee -a "$log"
    local status=${PIPESTATUS[0]}
    if [ "$status" != 0 ] && ! tail -n 400 "$log" | grep -q '^not ok'; then
        echo "not ok - $* ended with status $status" | tee -a "$log"
    fi
}

# units BUILD SOURCE…: runs the program of each source. One that fails is named, also when none of its
# tests says so: a sanitizer may, or the clock.
units() {
    local status=0 source program build=$1
    shift
    for source in "$@"; do
        program=build/$build/${source%.c}
        echo "# $program"
        UBSAN_OPTIONS=halt_on_error=1 CMOCKA_MESSAGE_OUTPUT=TAP timeout 120 "$program" ||
            { echo "not ok - $program ended with status $?" && status=1; }
    done
    return $status
}

# replays BUILD SOURCE…: the program of each fuzzer, on the inputs that are kept for it.
replays() {
    local status=0 name build=$1
    shift
    for name in $(basename -s .c "$@"); do
        if UBSAN_OPTIONS=halt_on_error=1 timeout 120 "build/$build/test/fuzz/replay/$name" test/fuzz/corpus/"$name"/*; then
            echo "ok - $name holds for its kept inputs"
        else
            echo "not ok - $name does not hold for its kept inputs"
            status=1
        fi
    done
    return $status
}

# The end-to-end tests wait more than they work: several files run side by side, those that take long
# first, so that none is left alone at the end. Each is run on both stores, but for those that say that
# one is enough; with "everywhere" these are, too.
end_to_end() {
    local long="robustness workload_faults scheduler_faults durability lists hostile node kubectl walkthrough encryption deployment lost_nodes"
    local file
    for file in $long $(basename -s .bats test/e2e/*.bats | grep -vxE "${long// /|}"); do
        if [ "${1:-}" = everywhere ] || ! grep -q '^# One store is enough' "test/e2e/$file.bats"; then
            echo "etcd test/e2e/$file.bats"
        fi
        echo "sqlite test/e2e/$file.bats"
    done | xargs -L 1 -P $((jobs * 2)) --process-slot-var=LANE test/e2e/one
}

# The oldest kubectl there is, when some are installed as kubectl.1.27 and the like besides the default
# one: on the PATH, or where Google's Debian package has them.
oldest_kubectl() {
    local PATH=$PATH:/usr/lib/google-cloud-sdk/bin name minor oldest=$KUBECTL least
    least=$(client_minor)
    for name in $(compgen -c kubectl. | grep -x 'kubectl\.1\.[0-9]*'); do
        minor=$(KUBECTL=$name client_minor)
        if [ "${minor:-$least}" -lt "$least" ]; then oldest=$(command -v "$name") least=$minor; fi
    done
    echo "$oldest"
}

# finish: the last line, "N passed, N failed", and the status.
finish() {
    local passed failed
    passed=$(grep -c '^ok' "$log")
    failed=$(grep -c '^not ok' "$log")
    echo
    [ "$failed" = 0 ] || grep '^not ok' "$log"
    echo "$passed passed, $failed failed"
    [ "$failed" = 0 ] && [ "$passed" -gt 0 ]
}
