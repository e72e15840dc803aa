# CPU code generation: the skeletons as they are, and compiled plans.
if(TARGET transom_codegen_cpu)
  transom_unit_test(CpuGemv transom_model_files ${CMAKE_DL_LIBS})
  target_compile_definitions(CpuGemv PRIVATE TRANSOM_KERNEL_DIRECTORY="${CMAKE_BINARY_DIR}/test")
  add_dependencies(CpuGemv transom_kernel_objects)
  foreach(test CpuAttention CpuOps CpuPacked CpuRegions)
    transom_unit_test(${test} transom_codegen_cpu transom_llvm_archives ${CMAKE_DL_LIBS})
  endforeach()
endif()
