# shellcheck shell=bash
# Completion of `reprise` in bash: `reprise complete` knows what can stand where, and asks the engine for names.
# A word that ends where more must follow gets no blank behind it.
_reprise() {
    local reply files=
    COMPREPLY=()
    while IFS= read -r reply; do
        case $reply in
        :files) files="file" ;;
        :folders) files="directory" ;;
        *) COMPREPLY+=("$reply") ;;
        esac
    done < <("$1" complete --breaks "$COMP_WORDBREAKS" --line "${COMP_LINE:0:COMP_POINT}" 2>/dev/null)
    if [ -n "$files" ]; then
        compopt -o filenames
        while IFS= read -r reply; do COMPREPLY+=("$reply"); done < <(compgen -A "$files" -- "$2")
    elif [ "${#COMPREPLY[@]}" -eq 1 ] && [[ ${COMPREPLY[0]} == *[=:/?] ]]; then
        compopt -o nospace
    fi
} && complete -F _reprise reprise
