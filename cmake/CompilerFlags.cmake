# -fPIC for executables too: all targets then share one precompiled header of LibTorch.
add_compile_options($<$<COMPILE_LANGUAGE:CXX>:-fPIC>)

# Warnings and sanitizers for this project's own targets: axlstm_compile_options(<target>).
function(axlstm_compile_options target)
  set(warnings -Wall -Wextra -Wpedantic)
  # False alarms of GCC about std::vector<bool>::reserve, inlined from LibTorch's autograd::Function::apply.
  if(CMAKE_CXX_COMPILER_ID STREQUAL GNU AND CMAKE_CXX_COMPILER_VERSION VERSION_GREATER_EQUAL 13)
    list(APPEND warnings -Wno-array-bounds -Wno-stringop-overflow)
  endif()
  if(AXLSTM_WERROR)
    list(APPEND warnings -Werror)
  endif()
  target_compile_options(${target} PRIVATE $<$<COMPILE_LANGUAGE:CXX>:${warnings}>)
  if(CMAKE_CXX_COMPILER_ID STREQUAL GNU)
    target_compile_options(${target} PRIVATE $<$<COMPILE_LANGUAGE:CXX>:-fpch-preprocess>)  # needed by ccache
  endif()
endfunction()

if(AXLSTM_SANITIZE)
  add_compile_options($<$<COMPILE_LANGUAGE:CXX>:-fsanitize=${AXLSTM_SANITIZE}>
                      $<$<COMPILE_LANGUAGE:CXX>:-fno-omit-frame-pointer>
                      $<$<COMPILE_LANGUAGE:CXX>:-fno-sanitize-recover=all>)
  add_link_options(-fsanitize=${AXLSTM_SANITIZE})
endif()
