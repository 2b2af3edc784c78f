# Completion of lighterd for fish: the options that its --help has.

for line in (lighterd --help 2>/dev/null | sed -n 's/^  --\([a-z-]*\) *\([A-Z]*\) .*/\1 \2/p')
    set -l option (string split ' ' -- $line)
    switch "$option[2]"
        case FILE PATH DIR DIRS
            complete -c lighterd -l $option[1] -r -F
        case LEVEL
            complete -c lighterd -l $option[1] -x -a 'error warning info debug'
        case ''
            complete -c lighterd -l $option[1]
        case '*'
            complete -c lighterd -l $option[1] -x
    end
end
complete -c lighterd -f
