# CPU code generation: the skeletons as they are, and compiled plans.
if(TARGET transom_kernel_objects)
  foreach(test CpuGemv)
    transom_unit_test(${test} transom_model_files ${CMAKE_DL_LIBS})
    target_compile_definitions(${test} PRIVATE TRANSOM_KERNEL_DIRECTORY="${CMAKE_BINARY_DIR}/test")
    add_dependencies(${test} transom_kernel_objects)
  endforeach()
endif()
