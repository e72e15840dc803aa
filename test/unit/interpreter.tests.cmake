if(TRANSOM_COMPILER)
  transom_unit_test(DimExpr transom_ir transom_llvm_archives)
  transom_unit_test(InterpreterRun transom_interpreter transom_ir transom_llvm_archives)
endif()
