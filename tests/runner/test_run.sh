#!/usr/bin/env bash
# tests/run against programs that pass, fail, crash, hang, run nothing or say nothing, in one lane and in more.
set -u
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
passed=0
failed=0

program() {
    printf '#!/bin/sh\n%s\n' "$2" >"$folder/$1"
    chmod +x "$folder/$1"
}

# expect TOTAL STATUS PROGRAM...: the last line and the exit status of the runner.
expect() {
    local total=$1 status=$2 output
    shift 2
    output=$(TEST_TIMEOUT=$limit_seconds TEST_LANES=$lanes tests/run "$folder" "${@/#/$folder/}" 2>"$folder/errors")
    local found_status=$? found_total=${output##*$'\n'}
    if [ "$found_total" = "$total" ] && [ "$found_status" -eq "$status" ]; then
        passed=$((passed + 1))
    else
        failed=$((failed + 1))
        echo "tests/run $*: '$found_total' with status $found_status in place of '$total' with $status, $lanes lanes"
        cat "$folder/errors"
    fi
}

# expect_order PROGRAM...: reported in that order, whoever is done first.
expect_order() {
    local expected order
    expected=$(printf '%s ' "$@")
    order=$(TEST_LANES=$lanes tests/run "$folder" "${@/#/$folder/}" 2>"$folder/errors" |
        sed -n 's/^\([a-z_]*\): .*/\1/p' | tr '\n' ' ')
    if [ "$order" = "$expected" ]; then
        passed=$((passed + 1))
    else
        failed=$((failed + 1))
        echo "tests/run $*: reported in the order $order, $lanes lanes"
        cat "$folder/errors"
    fi
}

program good 'echo "5 passed, 0 failed"'
program good_too 'echo "1 passed, 0 failed"'
program bad 'echo "3 passed, 2 failed"; exit 1'
program bad_but_polite 'echo "3 passed, 2 failed"'
program empty 'echo "0 passed, 0 failed"'
program silent 'echo hello'
program crash 'echo "[====] Synthesis: Tested: 4 | Passing: 4 | Failing: 0 | Crashing: 0 "; kill -SEGV $$'
program crash_too 'kill -SEGV $$'
program hang 'echo "9 passed, 0 failed"; sleep 60'
program slow 'sleep 0.3; echo "2 passed, 0 failed"'
program slower 'sleep 0.4; echo "2 passed, 0 failed"'
program chatty 'echo "9 passed, 9 failed"; echo "1 passed, 0 failed"; echo "7 passed, 0 failed, or so"'
program criterion 'printf "[\033[0;34m====\033[0m] Synthesis: Tested: \033[0;34m6\033[0m | Passing: \033[0;32m4\033[0m | \
Failing: \033[0;31m2\033[0m | Crashing: \033[0;31m1\033[0m \n"; exit 1'

# Each waits for the other: done only if they run beside each other.
program first "mkfifo $folder/meeting 2>/dev/null; echo >$folder/meeting; echo '1 passed, 0 failed'"
program second "mkfifo $folder/meeting 2>/dev/null; read -r _ <$folder/meeting; echo '1 passed, 0 failed'"
# What is sent INT dies of it, unless it was started with that ignored.
program interrupted "sh -c 'kill -INT \$\$'; [ \$? -eq 130 ] && echo '1 passed, 0 failed'"

limit_seconds=60
for lanes in 1 2 3; do
    expect '5 passed, 0 failed' 0 good
    expect '3 passed, 2 failed' 1 bad
    expect '3 passed, 2 failed' 1 bad_but_polite
    expect '0 passed, 1 failed' 1 empty
    expect '0 passed, 1 failed' 1 silent
    expect '4 passed, 1 failed' 1 crash
    expect '1 passed, 0 failed' 0 chatty
    expect '4 passed, 2 failed' 1 criterion
    expect '1 passed, 0 failed' 0 interrupted
    expect '0 passed, 1 failed' 1 there_is_no_such_program
    expect '0 passed, 1 failed' 1
    expect_order slow good bad chatty crash slower good_too crash_too
done
lanes=1
expect '13 passed, 3 failed' 1 good bad good silent
lanes=2
expect '13 passed, 5 failed' 1 good bad silent bad_but_polite chatty good_too
expect '2 passed, 0 failed' 0 first second
limit_seconds=1
expect '0 passed, 1 failed' 1 hang
lanes=1
expect '0 passed, 2 failed' 1 first second

echo "$passed passed, $failed failed"
[ "$failed" -eq 0 ]
