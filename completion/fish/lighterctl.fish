# Completion of lighterctl for fish. What there is to complete it asks lighterctl itself.

function __lighterctl_verbs
    lighterctl --help 2>/dev/null |
        sed -n '/^verbs/,/^$/s/^  \([a-z]*\)  *\(.*\)/\1\t\2/p'
end

# Options of --help: those with a value where $argv[1] is "valued", else the others.
function __lighterctl_options
    set -l valued (lighterctl --help 2>/dev/null |
        sed -n 's/^  .*--\([a-z-]*\) [A-Z][A-Z]*  *.*/\1/p')
    for option in (lighterctl --help 2>/dev/null | sed -n 's/^  .*--\([a-z-]*\) .*/\1/p')
        set -l has plain
        contains -- $option $valued; and set has valued
        test $has = $argv[1]; and echo $option
    end
end

function __lighterctl_names
    lighterctl --json $argv[1] 2>/dev/null |
        sed -n 's/^      "name": "\([^"\\]*\)",\{0,1\}$/\1/p' | sort -u
end

# What the usage of the verb has in this place: its own words, or names.
function __lighterctl_words
    set -l words (commandline -opc | string match -v -- '-*')
    test (count $words) -ge 2; or return
    set -l place (math (count $words) - 1)
    for line in (lighterctl $words[2] --help 2>/dev/null | sed '/^$/q')
        set -l tokens (string replace -r "^.*lighterctl.* $words[2] ?" '' -- $line |
            string split ' ' | string match -r '^\[?[A-Za-z.]+\]?$')
        if test $place -gt 1; and string match -qr '^[a-z]' -- "$tokens[1]"
            test "$tokens[1]" = "$words[3]"; or continue
        end
        test (count $tokens) -ge $place; or continue
        switch (string replace -ra '[\[\].]' '' -- $tokens[$place])
            case JOB
                __lighterctl_names jobs
            case NAME
                __lighterctl_names plugins
            case FILE
                __fish_complete_path (commandline -ct)
            case '[a-z]*' '*'
                string match -r '^[a-z]+$' -- $tokens[$place]
        end
    end
end

complete -c lighterctl -f
complete -c lighterctl -n __fish_use_subcommand -a '(__lighterctl_verbs)'
complete -c lighterctl -n 'not __fish_use_subcommand' -a '(__lighterctl_words)'
for option in (__lighterctl_options plain)
    complete -c lighterctl -l $option
end
for option in (__lighterctl_options valued)
    complete -c lighterctl -l $option -x
end
complete -c lighterctl -l socket -r -F
complete -c lighterctl -l stage -x -a 'predict validate test fit'
