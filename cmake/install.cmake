# What is installed: the program, its configs and demo models (so that
# `weft sample PREFIX/share/weft/configs/demo.yaml` works), what clusters want
# (job scripts, manual page, completion, modulefile), and the core library with
# its headers, as the CMake package weft::core and weft-core.pc.
include(CMakePackageConfigHelpers)

set(WEFT_INCLUDEDIR ${CMAKE_INSTALL_INCLUDEDIR}/weft)
set(WEFT_CMAKEDIR ${CMAKE_INSTALL_LIBDIR}/cmake/weft)

if(TARGET weft)
  install(TARGETS weft RUNTIME DESTINATION ${CMAKE_INSTALL_BINDIR})
  install(DIRECTORY models DESTINATION ${CMAKE_INSTALL_DATADIR}/weft)
  install(DIRECTORY configs DESTINATION ${CMAKE_INSTALL_DATADIR}/weft
    FILES_MATCHING PATTERN "*.yaml") # not what was drawn beside them
  install(DIRECTORY slurm DESTINATION ${CMAKE_INSTALL_DATADIR}/weft
    USE_SOURCE_PERMISSIONS)
  install(FILES packaging/modulefile
    DESTINATION ${CMAKE_INSTALL_DATADIR}/modulefiles/weft
    RENAME ${PROJECT_VERSION})
endif()
# The program writes its own manual; one with sanitizers is not for users.
if(TARGET weft AND NOT WEFT_SANITIZE AND NOT CMAKE_CROSSCOMPILING)
  set(manual ${PROJECT_BINARY_DIR}/weft.1 ${PROJECT_BINARY_DIR}/weft.bash)
  set(completions ${CMAKE_INSTALL_DATADIR}/bash-completion/completions)
  add_custom_command(OUTPUT ${manual}
    COMMAND ${CMAKE_COMMAND} -D WEFT=$<TARGET_FILE:weft>
      -D SOURCE=${PROJECT_SOURCE_DIR} -D OUT=${PROJECT_BINARY_DIR}
      -D VERSION=${PROJECT_VERSION} -D SHARE=${CMAKE_INSTALL_DATADIR}/weft
      -D DOC=${CMAKE_INSTALL_DOCDIR}
      -P ${PROJECT_SOURCE_DIR}/cmake/manual.cmake
    DEPENDS weft cmake/manual.cmake docs/config.md packaging/weft.1.in
      packaging/weft.bash.in)
  add_custom_target(weft_manual ALL DEPENDS ${manual})
  install(FILES ${PROJECT_BINARY_DIR}/weft.1
    DESTINATION ${CMAKE_INSTALL_MANDIR}/man1)
  install(FILES ${PROJECT_BINARY_DIR}/weft.bash
    DESTINATION ${completions} RENAME weft)
endif()
install(FILES README.md LICENSE CHANGELOG.md
  DESTINATION ${CMAKE_INSTALL_DOCDIR})
install(DIRECTORY docs DESTINATION ${CMAKE_INSTALL_DOCDIR})

install(DIRECTORY core DESTINATION ${WEFT_INCLUDEDIR}
  FILES_MATCHING PATTERN "*.h" PATTERN "core/device/cpu" EXCLUDE)
set_target_properties(weft_core PROPERTIES EXPORT_NAME core)
install(TARGETS weft_core EXPORT weft
  ARCHIVE DESTINATION ${CMAKE_INSTALL_LIBDIR}
  INCLUDES DESTINATION ${WEFT_INCLUDEDIR})
install(EXPORT weft NAMESPACE weft:: FILE weftTargets.cmake
  DESTINATION ${WEFT_CMAKEDIR})

configure_package_config_file(cmake/weftConfig.cmake.in
  ${PROJECT_BINARY_DIR}/weftConfig.cmake
  INSTALL_DESTINATION ${WEFT_CMAKEDIR} NO_SET_AND_CHECK_MACRO)
write_basic_package_version_file(${PROJECT_BINARY_DIR}/weftConfigVersion.cmake
  COMPATIBILITY SameMinorVersion)
install(FILES ${PROJECT_BINARY_DIR}/weftConfig.cmake
  ${PROJECT_BINARY_DIR}/weftConfigVersion.cmake
  DESTINATION ${WEFT_CMAKEDIR})

# The prefix is where the .pc lies, so that a moved tree still works.
set(pkgconfigdir /prefix/${CMAKE_INSTALL_LIBDIR}/pkgconfig)
file(RELATIVE_PATH WEFT_PC_PREFIX ${pkgconfigdir} /prefix)
configure_file(cmake/weft-core.pc.in ${PROJECT_BINARY_DIR}/weft-core.pc @ONLY)
install(FILES ${PROJECT_BINARY_DIR}/weft-core.pc
  DESTINATION ${CMAKE_INSTALL_LIBDIR}/pkgconfig)
