# Fault injection, in small; scripts/reliability.sh runs all of it (docs/reliability.md).
enable_language(C)
add_library(axlstm_fault_shim MODULE faults/fault_shim.c)
target_compile_options(axlstm_fault_shim PRIVATE -Wall -Wextra)
target_link_libraries(axlstm_fault_shim PRIVATE ${CMAKE_DL_LIBS})

function(axlstm_fault_test name)
  add_test(NAME faults_${name} COMMAND ${AXLSTM_TEST_PYTHON} -B ${CMAKE_CURRENT_SOURCE_DIR}/faults/run.py --bin ${PROJECT_BINARY_DIR}/bin
           --shim $<TARGET_FILE:axlstm_fault_shim> ${ARGN})
  set_tests_properties(faults_${name} PROPERTIES LABELS faults TIMEOUT 600)
endfunction()

axlstm_fault_test(kill --count 2 kill-pretrain kill-pack kill-extract kill-hear-eval kill-sweep)
axlstm_fault_test(disk --count 2 full-pretrain full-pack full-extract full-hear-eval read-only-pretrain read-only-pack metrics no-flush)
axlstm_fault_test(read --count 1 read-error damage)
axlstm_fault_test(processes --count 1 ranks signals two-processes)
axlstm_fault_test(limits clock numbers no-gpu full-output locales)

add_test(NAME load_long_wav COMMAND ${AXLSTM_TEST_PYTHON} -B ${CMAKE_CURRENT_SOURCE_DIR}/faults/load.py --bin ${PROJECT_BINARY_DIR}/bin
         --scale 0.2 long-wav)
set_tests_properties(load_long_wav PROPERTIES LABELS faults TIMEOUT 600)
