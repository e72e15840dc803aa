# The install tree: bin/, lib/, include/, share/doc, and find_package(transom).
include(CMakePackageConfigHelpers)

# DT_RPATH, not DT_RUNPATH: the libraries that oneDNN needs are found in lib/ too, though oneDNN does not say so.
function(transom_find_libraries_beside target rpath)
  set_target_properties(${target} PROPERTIES INSTALL_RPATH "${rpath}")
  target_link_options(${target} PRIVATE -Wl,--disable-new-dtags)
endfunction()

foreach(tool transom transom-opt)
  if(TARGET ${tool})
    install(TARGETS ${tool} RUNTIME DESTINATION ${CMAKE_INSTALL_BINDIR})
    transom_find_libraries_beside(${tool} "$ORIGIN/../${CMAKE_INSTALL_LIBDIR}")
  endif()
endforeach()
foreach(library transom_runtime transom_compiler)
  if(TARGET ${library})
    transom_find_libraries_beside(${library} "$ORIGIN")
  endif()
endforeach()
if(TARGET transom_compiler)
  install(TARGETS transom_compiler LIBRARY DESTINATION ${CMAKE_INSTALL_LIBDIR})
endif()
if(TARGET transom_runtime)
  set_target_properties(transom_runtime PROPERTIES EXPORT_NAME transom)
  target_include_directories(transom_runtime INTERFACE $<INSTALL_INTERFACE:${CMAKE_INSTALL_INCLUDEDIR}>)
  install(TARGETS transom_runtime EXPORT transom-targets LIBRARY DESTINATION ${CMAKE_INSTALL_LIBDIR})
  install(EXPORT transom-targets NAMESPACE transom:: DESTINATION ${CMAKE_INSTALL_LIBDIR}/cmake/transom)
  install(DIRECTORY ${PROJECT_SOURCE_DIR}/runtime/include/ DESTINATION ${CMAKE_INSTALL_INCLUDEDIR})
  configure_package_config_file(${PROJECT_SOURCE_DIR}/cmake/transom-config.cmake.in
    ${PROJECT_BINARY_DIR}/transom-config.cmake INSTALL_DESTINATION ${CMAKE_INSTALL_LIBDIR}/cmake/transom)
  write_basic_package_version_file(${PROJECT_BINARY_DIR}/transom-config-version.cmake COMPATIBILITY SameMinorVersion)
  install(FILES ${PROJECT_BINARY_DIR}/transom-config.cmake ${PROJECT_BINARY_DIR}/transom-config-version.cmake
    DESTINATION ${CMAKE_INSTALL_LIBDIR}/cmake/transom)
endif()
install(FILES ${PROJECT_SOURCE_DIR}/README.md ${PROJECT_SOURCE_DIR}/LICENSE ${PROJECT_SOURCE_DIR}/CHANGELOG.md
  DESTINATION ${CMAKE_INSTALL_DATADIR}/doc/transom)
install(DIRECTORY ${PROJECT_SOURCE_DIR}/docs/ DESTINATION ${CMAKE_INSTALL_DATADIR}/doc/transom)
