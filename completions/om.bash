# Completion of om in bash 4.4 and later.

_om() {
    local IFS=$'\n' words=() joined='' word typed=$2 i
    # Bash splits words at = and : too, and leaves quotes in them.
    for ((i = 0; i <= COMP_CWORD; i++)); do
        word=${COMP_WORDS[i]}
        if ((i == COMP_CWORD)) && [[ $word != [=:] ]]; then
            word=$2
        fi
        word=${word//[\\\"\']/}
        if [[ $i -gt 1 && ($word == [=:] || -n $joined) ]]; then
            words[-1]+=$word
        else
            words+=("$word")
        fi
        joined=''
        [[ $word == [=:] ]] && joined=yes
    done
    typed=${typed//[\\\"\']/}
    [[ $typed == [=:] ]] && typed=''
    local prefix=${words[-1]%"$typed"} reply=()
    COMPREPLY=()
    while IFS= read -r word; do
        word=${word%%$'\t'*}
        reply+=("${word#"$prefix"}")
    done < <(OM_COMPLETE=bash om -- "${words[@]}" 2>/dev/null)
    for word in "${reply[@]}"; do
        if [[ ${COMP_WORDS[COMP_CWORD]} != [\"\']* ]]; then
            printf -v word %q "$word"
        fi
        COMPREPLY+=("$word")
    done
    if [[ ${#reply[@]} -eq 1 && ${reply[0]} == *[=/:,[^] ]]; then
        compopt -o nospace 2>/dev/null
    fi
}

complete -o nosort -F _om om
