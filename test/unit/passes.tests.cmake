# Passes against the reference interpreter.
if(TARGET transom_passes AND TARGET transom_interpreter)
  transom_unit_test(PassEquivalence transom_passes transom_interpreter transom_llvm_archives)
endif()
if(TARGET transom_pipeline)
  transom_unit_test(Pipeline transom_pipeline transom_llvm_archives)
endif()
