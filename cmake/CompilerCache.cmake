# ccache, where there is one. The sloppiness lets it see through the precompiled header.
find_program(AXLSTM_CCACHE ccache)
mark_as_advanced(AXLSTM_CCACHE)
if(AXLSTM_CCACHE AND PROJECT_IS_TOP_LEVEL)
  set(launcher ${CMAKE_COMMAND} -E env CCACHE_SLOPPINESS=pch_defines,time_macros,include_file_mtime,include_file_ctime
               ${AXLSTM_CCACHE})
  set(CMAKE_CXX_COMPILER_LAUNCHER ${launcher})
  set(CMAKE_CUDA_COMPILER_LAUNCHER ${launcher})
endif()
