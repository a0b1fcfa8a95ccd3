# Finds LibTorch (a PyPI wheel of torch, or the libtorch zip) without running its own TorchConfig.cmake, which
# insists on a CUDA toolkit and guesses architectures. Uses Torch_DIR, CMAKE_PREFIX_PATH or the variable TORCH_ROOT.
#
#   LibTorch::LibTorch        imported target
#   LibTorch_VERSION          such as 2.11.0
#   LibTorch_CUDA_VERSION     such as 13.0; empty for a CPU build
# A LibTorch that is named wins over one that is found; nothing is cached, so that another name takes effect.
find_file(LibTorch_CONFIG TorchConfig.cmake
  PATHS ${TORCH_ROOT} ENV TORCH_ROOT ${Torch_DIR} PATH_SUFFIXES share/cmake/Torch NO_DEFAULT_PATH NO_CACHE)
if(NOT LibTorch_CONFIG AND NOT TORCH_ROOT)
  find_file(LibTorch_CONFIG TorchConfig.cmake PATH_SUFFIXES Torch share/cmake/Torch NO_CACHE)
endif()
if(LibTorch_CONFIG)
  cmake_path(GET LibTorch_CONFIG PARENT_PATH LibTorch_ROOT)
  cmake_path(NORMAL_PATH LibTorch_ROOT)
  foreach(level Torch cmake share)
    cmake_path(GET LibTorch_ROOT PARENT_PATH LibTorch_ROOT)
  endforeach()
  find_library(LibTorch_LIBRARY torch PATHS ${LibTorch_ROOT}/lib NO_DEFAULT_PATH NO_CACHE)
  find_library(LibTorch_CPU_LIBRARY torch_cpu PATHS ${LibTorch_ROOT}/lib NO_DEFAULT_PATH NO_CACHE)
  find_library(LibTorch_C10_LIBRARY c10 PATHS ${LibTorch_ROOT}/lib NO_DEFAULT_PATH NO_CACHE)
  find_library(LibTorch_CUDA_LIBRARY torch_cuda PATHS ${LibTorch_ROOT}/lib NO_DEFAULT_PATH NO_CACHE)
  find_library(LibTorch_C10_CUDA_LIBRARY c10_cuda PATHS ${LibTorch_ROOT}/lib NO_DEFAULT_PATH NO_CACHE)

  foreach(header torch/headeronly/version.h torch/csrc/api/include/torch/version.h)
    if(EXISTS ${LibTorch_ROOT}/include/${header} AND NOT LibTorch_VERSION)
      file(READ ${LibTorch_ROOT}/include/${header} version_header)
      string(REGEX MATCH "VERSION_MAJOR ([0-9]+)" _ "${version_header}")
      set(LibTorch_VERSION ${CMAKE_MATCH_1})
      string(REGEX MATCH "VERSION_MINOR ([0-9]+)" _ "${version_header}")
      string(APPEND LibTorch_VERSION .${CMAKE_MATCH_1})
      string(REGEX MATCH "VERSION_PATCH ([0-9]+)" _ "${version_header}")
      string(APPEND LibTorch_VERSION .${CMAKE_MATCH_1})
    endif()
  endforeach()
  # A wheel says its CUDA version in version.py ("cuda: Optional[str] = '13.0'"), the zip in build-version ("2.11.0+cu130").
  set(LibTorch_CUDA_VERSION "")
  if(EXISTS ${LibTorch_ROOT}/version.py)
    file(STRINGS ${LibTorch_ROOT}/version.py cuda_line REGEX "^cuda")
    if(cuda_line MATCHES "'([0-9]+\\.[0-9]+)'")
      set(LibTorch_CUDA_VERSION ${CMAKE_MATCH_1})
    endif()
  elseif(EXISTS ${LibTorch_ROOT}/build-version)
    file(STRINGS ${LibTorch_ROOT}/build-version build_version)
    if(build_version MATCHES "\\+cu([0-9]+)([0-9])$")
      set(LibTorch_CUDA_VERSION ${CMAKE_MATCH_1}.${CMAKE_MATCH_2})
    endif()
  endif()
endif()

include(FindPackageHandleStandardArgs)
find_package_handle_standard_args(LibTorch
  REQUIRED_VARS LibTorch_CONFIG LibTorch_LIBRARY LibTorch_CPU_LIBRARY LibTorch_C10_LIBRARY
  VERSION_VAR LibTorch_VERSION
  REASON_FAILURE_MESSAGE "Name it with -DTORCH_ROOT=<folder of libtorch or of the Python package torch>. scripts/setup.sh downloads one.")
if(LibTorch_FOUND AND NOT TARGET LibTorch::LibTorch)
  find_package(Threads REQUIRED)
  add_library(LibTorch::LibTorch INTERFACE IMPORTED)
  set(torch_libraries ${LibTorch_LIBRARY} ${LibTorch_CPU_LIBRARY} ${LibTorch_C10_LIBRARY})
  if(LibTorch_CUDA_LIBRARY)
    list(APPEND torch_libraries ${LibTorch_CUDA_LIBRARY} ${LibTorch_C10_CUDA_LIBRARY})
  endif()
  # stdc++ first: libtorch exports a std::filesystem of its own, which must not win over the compiler's.
  # --no-as-needed: libtorch_cuda registers the CUDA backend when it is loaded; no symbol of it need be referenced.
  target_link_libraries(LibTorch::LibTorch INTERFACE
    stdc++ -Wl,--push-state,--no-as-needed ${torch_libraries} -Wl,--pop-state Threads::Threads)
  target_include_directories(LibTorch::LibTorch SYSTEM INTERFACE
    ${LibTorch_ROOT}/include ${LibTorch_ROOT}/include/torch/csrc/api/include)
  target_compile_definitions(LibTorch::LibTorch INTERFACE _GLIBCXX_USE_CXX11_ABI=1)
endif()
