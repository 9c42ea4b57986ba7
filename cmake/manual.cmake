# The manual page and bash's completion, from what the program says of itself
# and the table of keys in docs/config.md:
#   cmake -D WEFT=PROGRAM -D SOURCE=FOLDER -D OUT=FOLDER -D VERSION=V
#         -D SHARE=share/weft -D DOC=share/doc/weft -P manual.cmake
cmake_minimum_required(VERSION 3.25)

# text: what `weft WORDS` prints.
function(say text)
  execute_process(COMMAND ${WEFT} ${ARGN} OUTPUT_VARIABLE out
    COMMAND_ERROR_IS_FATAL ANY)
  set(${text} "${out}" PARENT_SCOPE)
endfunction()

# Paragraphs stay so; lines that are set in stay as they are.
function(to_roff text)
  set(t "\n${${text}}")
  string(REPLACE "\\" "\\e" t "${t}")
  string(REPLACE "-" "\\-" t "${t}")
  string(REGEX REPLACE "\n([.'])" "\n\\\\&\\1" t "${t}")
  string(REGEX REPLACE "(\n[a-z: ]*weft [^\n]*)((\n +[^\n]*)*)\n\n"
    "\n.EX\\1\\2\n.EE\n.PP\n" t "${t}")
  string(REGEX REPLACE "\n\n+(  [^\n]*(\n  [^\n]*|\n\n  [^\n]*)*)"
    "\n.PP\n.EX\n\\1\n.EE" t "${t}")
  string(REGEX REPLACE "\n\n+" "\n.PP\n" t "${t}")
  string(REGEX REPLACE "^\n|\n$" "" t "${t}")
  set(${text} "${t}" PARENT_SCOPE)
endfunction()

say(help --help)
string(REGEX MATCHALL "\n  weft [a-z]+ " lines "${help}")
foreach(line IN LISTS lines)
  string(REGEX REPLACE ".*weft ([a-z]+) " "\\1" name "${line}")
  list(APPEND names ${name})
endforeach()
list(REMOVE_DUPLICATES names)

foreach(name IN LISTS names)
  say(more ${name} --help)
  string(REGEX MATCHALL "--[a-z][a-z-]*" options "--help ${more}")
  list(REMOVE_DUPLICATES options)
  list(JOIN options " " options)
  string(APPEND OPTIONS "    ${name}) words=\"${options}\" ;;\n")
  to_roff(more)
  string(APPEND COMMANDS_ROFF ".SS weft ${name}\n${more}\n")
endforeach()
list(JOIN names " " COMMANDS)
string(REGEX MATCH "exit codes:.*" EXIT_ROFF "${help}")
to_roff(help)
set(HELP_ROFF "${help}")
to_roff(EXIT_ROFF)

# Keys with a NAME of the user's own are none to complete.
file(STRINGS ${SOURCE}/docs/config.md lines REGEX "^. `[a-z0-9_.]+`")
foreach(line IN LISTS lines)
  string(REGEX REPLACE "^. `([a-z0-9_.]+)`.*" "\\1" key "${line}")
  list(APPEND keys ${key})
endforeach()
list(REMOVE_DUPLICATES keys)
list(JOIN keys " " KEYS)

configure_file(${SOURCE}/packaging/weft.1.in ${OUT}/weft.1 @ONLY)
configure_file(${SOURCE}/packaging/weft.bash.in ${OUT}/weft.bash @ONLY)
