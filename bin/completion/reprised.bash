# shellcheck shell=bash
# Completion of `reprised` in bash: its flags are those that it prints, and what follows one is a file's name.
_reprised() {
    COMPREPLY=()
    [[ $2 == -* ]] || return
    local flag
    while read -r flag _; do
        [[ $flag == --* && $flag == "$2"* ]] && COMPREPLY+=("$flag")
    done < <("$1" --help 2>/dev/null)
} && complete -o default -F _reprised reprised
