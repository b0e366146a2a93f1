#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
# README's walk through the control plane does what README says: its commands are run in their order,
# on the flags that it names, and must print the lines that it shows.

load helpers

can_wait() { [ "$(client_minor)" -ge 31 ]; } # For a field of any value.

setup_file() {
    local flags
    can_wait || return 0
    # The flags stand before "make run" in running text.
    flags=$(tr '\n' ' ' <README.md | grep -o 'FLAGS=--default[^`]*make run' | sed 's/ make run//')
    [ -n "$flags" ]
    # shellcheck disable=SC2163 # These are assignments.
    for assignment in $flags; do export "$assignment"; done
    # Autoscaling has no need to take as long as it does by default.
    export CONTROLLERS_FLAGS="${CONTROLLERS_FLAGS-} --horizontal-pod-autoscaler-sync-period=500ms"
    export NODE_FLAGS="${NODE_FLAGS-} --usage-report-frequency=500ms"
    export SERVICES="controllers scheduler node"
    start_server
}
teardown_file() { ! can_wait || stop_server; }
setup() { can_wait || skip "needs kubectl 1.31"; }

kubectl() { command "$KUBECTL" "$@"; }

# walk: prints "command NUL output NUL" for each command of README's console blocks.
walk() {
    awk '
        function flush() { if (command != "") printf "%s%c%s%c", command, 0, shown, 0; command = shown = "" }
        /^```console$/ { block = 1; next }
        /^```$/ { flush(); block = 0; next }
        !block { next }
        sub(/^\$ /, "") { flush(); command = $0; next }
        sub(/^> /, "") { command = command "\n" $0; next }
        { shown = shown $0 "\n" }
        ' README.md
}

# prints SHOWN OUTPUT: the output has the shown lines in their order, and no others but for a line "…";
# within a line "…" stands for anything.
prints() {
    local -a shown=() lines=()
    local at=0 anything='' pattern line
    mapfile -t shown < <(printf '%s' "$1")
    mapfile -t lines < <(printf '%s' "$2")
    for line in "${shown[@]}"; do
        if [ "$line" = … ]; then
            anything=yes
            continue
        fi
        pattern=$(sed 's/[][*?\\]/\\&/g; s/…/*/g' <<<"$line")
        # shellcheck disable=SC2053 # It is a pattern.
        while [ -n "$anything" ] && [ $at -lt ${#lines[@]} ] && [[ "${lines[at]}" != $pattern ]]; do
            at=$((at + 1))
        done
        # shellcheck disable=SC2053
        [ $at -lt ${#lines[@]} ] && [[ "${lines[at]}" == $pattern ]] || return 1
        at=$((at + 1))
        anything=
    done
    [ -n "$anything" ] || [ $at -eq ${#lines[@]} ]
}

@test "README's walk through it is true to the letter" {
    local command shown steps=0
    while IFS= read -r -d '' command <&5 && IFS= read -r -d '' shown <&5; do
        steps=$((steps + 1))
        run eval "$command"
        printf '$ %s\n%s\n[%s]\n' "$command" "$output" "$status"
        if [[ "$shown" == *error:* ]]; then [ "$status" -ne 0 ]; else [ "$status" -eq 0 ]; fi
        prints "$shown" "$output"
    done 5< <(walk)
    [ "$steps" -gt 20 ]
}

refuses() { if prints "$@"; then return 1; fi; }

@test "the walk shows what would not be true" {
    prints $'a\nb' $'a\nb'
    prints $'…\nb' $'a\nb'
    prints $'a…c' 'abc'
    refuses $'a\nb' $'a\nc'
    refuses 'a' $'a\nb'
    refuses $'a\nb' 'a'
    refuses $'…\nc' $'a\nb'
}
