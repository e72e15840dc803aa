# The base layer of the CUDA runtime, as far as it goes without a GPU.
transom_unit_test(CudaBase transom_cuda)

# Own declarations against NVIDIA's, where those are installed.
find_path(TRANSOM_CUDA_HEADERS cublasLt.h PATHS /usr/local/cuda/include NO_DEFAULT_PATH)
if(TRANSOM_CUDA_HEADERS)
  transom_unit_test(CudaAbi transom_cuda)
  target_include_directories(CudaAbi SYSTEM PRIVATE ${TRANSOM_CUDA_HEADERS})
endif()
