# Plans on their way into artifacts.
if(TARGET transom_artifact_builder)
  transom_unit_test(PlanWeights transom_artifact_builder transom_llvm_archives)
  transom_unit_test(PlanArtifact transom_artifact_builder transom_llvm_archives)
  target_compile_definitions(PlanArtifact PRIVATE TRANSOM_FIXTURE_KERNELS="")
endif()
