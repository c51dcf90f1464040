# Manual pages and completion, which the program FFZERO_PROGRAM writes itself, by way of the folder FFZERO_WORDS. Run by cmake --install.
function(install_words destination name)
  file(MAKE_DIRECTORY ${FFZERO_WORDS})
  execute_process(COMMAND ${FFZERO_PROGRAM} ${ARGN} OUTPUT_FILE ${FFZERO_WORDS}/${name} COMMAND_ERROR_IS_FATAL ANY)
  file(INSTALL ${FFZERO_WORDS}/${name} DESTINATION ${CMAKE_INSTALL_PREFIX}/${destination})
endfunction()

install_words(share/man/man1 ffzero.1 manual --man)
install_words(share/man/man5 ffzero-settings.5 keys --man)
install_words(share/bash-completion/completions ffzero completion bash)
install_words(share/zsh/site-functions _ffzero completion zsh)
