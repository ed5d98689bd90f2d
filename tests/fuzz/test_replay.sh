#!/usr/bin/env bash
# Every fuzz target runs the inputs of fuzz/corpus and fuzz/regressions that are its own, without AFL++, and survives; and
# the dictionary is up to date. The last line is `N passed, N failed`.
set -u
build=${FUZZ_PROGRAMS:-${BUILD:-build}/small/fuzz}
logs=${BUILD:-build}/test-logs
passed=0
failed=0
mkdir -p "$logs"

# check NAME COMMAND...: the command says that all is well by its status.
check() {
    local name=$1
    shift
    if "$@"; then
        passed=$((passed + 1))
    else
        failed=$((failed + 1))
        echo "$name: failed"
    fi
}

# Of a target that did not survive the log ends with the input, and with what was broken.
replay() {
    local target=$1 log=$logs/fuzz-$1.log folders=("fuzz/corpus/$1") count
    [ ! -d "fuzz/regressions/$target" ] || folders+=("fuzz/regressions/$target")
    if ! count=$("$build/$target" "${folders[@]}" 2>"$log"); then
        tail -n 5 "$log"
        return 1
    fi
    echo "figures: $target: $count"
    [ "$count" != '0 inputs' ]
}

dictionary_is_new() { fuzz/make-dictionary commands | diff -u fuzz/commands.dict - >&2; }

for source in fuzz/fuzz_*.c; do
    target=$(basename "$source" .c)
    check "$target" replay "${target#fuzz_}"
done
check 'fuzz/commands.dict is what fuzz/make-dictionary makes' dictionary_is_new

echo "$passed passed, $failed failed"
[ "$failed" -eq 0 ]
