# What the commands diff and tune are made of, with the fake driver.
foreach(name DeviceDiff GemmTuning)
  transom_runtime_test(${name} transom_runtime_static transom_artifact_writer transom_fake_cuda)
  target_compile_definitions(${name} PRIVATE TRANSOM_SOURCE_FOLDER="${PROJECT_SOURCE_DIR}")
endforeach()
target_sources(DeviceDiff PRIVATE ${PROJECT_SOURCE_DIR}/tools/transom/DeviceDiff.cpp)
target_sources(GemmTuning PRIVATE ${PROJECT_SOURCE_DIR}/tools/transom/GemmTuning.cpp ${PROJECT_SOURCE_DIR}/tools/transom/TuneTable.cpp
  ${PROJECT_SOURCE_DIR}/tools/transom/Common.cpp)

if(TRANSOM_COMPILER)
  transom_runtime_test(Buckets transom_buckets transom_artifact_writer)
endif()
