# Completion for shells, where each of them looks for it.
bashcompletiondir = $(datadir)/bash-completion/completions
zshcompletiondir = $(datadir)/zsh/site-functions
fishcompletiondir = $(datadir)/fish/vendor_completions.d
dist_bashcompletion_DATA = completion/bash/lighterctl completion/bash/lighterd
dist_zshcompletion_DATA = completion/zsh/_lighterctl completion/zsh/_lighterd
dist_fishcompletion_DATA = completion/fish/lighterctl.fish completion/fish/lighterd.fish
