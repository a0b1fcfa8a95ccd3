# Installs the build into a scratch prefix, runs an installed program, builds the example against it and runs it.
# Needs BUILD (a build folder), SOURCE (this folder), SCRATCH, TORCH_ROOT.
function(check)
  execute_process(COMMAND ${ARGN} RESULT_VARIABLE result OUTPUT_VARIABLE output ERROR_VARIABLE output)
  if(NOT result EQUAL 0)
    message(FATAL_ERROR "${ARGN} failed:\n${output}")
  endif()
  message(STATUS "${output}")
endfunction()

file(REMOVE_RECURSE ${SCRATCH})
check(${CMAKE_COMMAND} --install ${BUILD} --prefix ${SCRATCH}/prefix)
check(${SCRATCH}/prefix/bin/pretrain --version)
check(${CMAKE_COMMAND} -S ${SOURCE} -B ${SCRATCH}/build -G Ninja -DCMAKE_BUILD_TYPE=Release
      -DCMAKE_PREFIX_PATH=${SCRATCH}/prefix -DTORCH_ROOT=${TORCH_ROOT})
check(${CMAKE_COMMAND} --build ${SCRATCH}/build)
check(${SCRATCH}/build/example)
