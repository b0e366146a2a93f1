#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
#
# A control plane with nothing to do does next to nothing: no loop spins. The wait outlasts the
# periods of what is done now and then.

load helpers

setup_file() {
    SERVICES="controllers scheduler" start_server
}

teardown_file() {
    stop_server
}

# Ticks of CPU that the processes of this server's group have used.
ticks() {
    local pid total=0
    for pid in $(pgrep -f "$DATA" || true); do
        [ -r "/proc/$pid/stat" ] || continue
        total=$((total + $(sed 's/.*) //' "/proc/$pid/stat" | awk '{ print $12 + $13 }')))
    done
    echo "$total"
}

@test "idle processes use less than a tenth of a core" {
    sleep 12
    local before after
    before=$(ticks)
    sleep 5
    after=$(ticks)
    [ "$before" -gt 0 ]
    echo "$((after - before)) ticks in 5 seconds"
    [ $((after - before)) -lt $((5 * $(getconf CLK_TCK) / 10)) ]
}
