# Completion of om in fish.

function __om_complete
    set -l words (commandline --current-process --tokenize --cut-at-cursor)
    set -l current (commandline --current-token --cut-at-cursor | string unescape)
    OM_COMPLETE=fish om -- $words "$current" 2>/dev/null
end

complete --keep-order --no-files --command om --arguments '(__om_complete)'
