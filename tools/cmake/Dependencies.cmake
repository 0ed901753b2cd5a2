# Every third-party library as one imported target; the rooms that own them link them.
find_package(PkgConfig REQUIRED)
find_package(Threads REQUIRED)
find_package(MPI REQUIRED COMPONENTS C)
find_package(HDF5 REQUIRED COMPONENTS C)
find_package(spdlog REQUIRED)
find_package(nlohmann_json REQUIRED)
find_package(CLI11 REQUIRED)
foreach(name yaml-cpp libpcre2-8 libutf8proc libxxhash)
  pkg_check_modules(${name} REQUIRED IMPORTED_TARGET ${name})
endforeach()
find_library(GMP_LIBRARY gmp REQUIRED)

add_library(tdrm_hdf5 INTERFACE)
target_include_directories(tdrm_hdf5 SYSTEM INTERFACE ${HDF5_C_INCLUDE_DIRS})
target_link_libraries(tdrm_hdf5 INTERFACE ${HDF5_C_LIBRARIES})

# libtorch without find_package(Torch), which wants the whole CUDA toolkit even for a CPU program. Its include
# directories come last, because it ships its own fmt.
set(TORCH_DIR "$ENV{TORCH_DIR}" CACHE PATH "Folder that holds include/ and lib/ of libtorch")
set(TDRM_TORCH_IS_OURS OFF)  # unpacked by tools/install.sh
if(NOT TORCH_DIR)
  set(TORCH_DIR ${CMAKE_SOURCE_DIR}/.deps/torch)
  set(TDRM_TORCH_IS_OURS ON)
endif()
if(NOT EXISTS ${TORCH_DIR}/lib/libtorch_cpu.so)
  message(FATAL_ERROR "libtorch isn't in ${TORCH_DIR} (lib/libtorch_cpu.so is missing). "
                      "Run tools/install.sh, or set TORCH_DIR to the folder of your own.")
endif()
add_library(tdrm_torch INTERFACE)
target_compile_options(tdrm_torch INTERFACE "SHELL:-idirafter ${TORCH_DIR}/include"
                                            "SHELL:-idirafter ${TORCH_DIR}/include/torch/csrc/api/include")
target_link_libraries(tdrm_torch INTERFACE ${TORCH_DIR}/lib/libtorch_cpu.so ${TORCH_DIR}/lib/libc10.so)
target_link_options(tdrm_torch INTERFACE -Wl,-rpath-link,${TORCH_DIR}/lib -Wl,--allow-shlib-undefined)

# A CUDA toolkit: CUDAToolkit_ROOT, CUDA_HOME, what tools/install.sh --cuda fetched, or what CMake finds.
if(NOT DEFINED CUDAToolkit_ROOT AND NOT DEFINED ENV{CUDAToolkit_ROOT})
  if(DEFINED ENV{CUDA_HOME})
    set(CUDAToolkit_ROOT $ENV{CUDA_HOME})
  elseif(EXISTS ${CMAKE_SOURCE_DIR}/.deps/cuda/version)
    set(CUDAToolkit_ROOT ${CMAKE_SOURCE_DIR}/.deps/cuda)
  endif()
endif()

# NCCL, for libtdrm_cuda.so; without it devices exchange through their hosts.
set(TDRM_HAS_NCCL OFF)
if(TDRM_WITH_NCCL)
  find_package(CUDAToolkit QUIET)
  find_path(NCCL_INCLUDE_DIR nccl.h HINTS ${NCCL_HOME}/include $ENV{NCCL_HOME}/include ${CUDAToolkit_INCLUDE_DIRS}
            ${CMAKE_SOURCE_DIR}/.deps/nccl/include)
  find_library(NCCL_LIBRARY NAMES nccl libnccl.so.2 HINTS ${NCCL_HOME}/lib $ENV{NCCL_HOME}/lib
               ${CUDAToolkit_LIBRARY_DIR} ${CMAKE_SOURCE_DIR}/.deps/nccl/lib)
  if(CUDAToolkit_FOUND AND NCCL_INCLUDE_DIR AND NCCL_LIBRARY)
    set(TDRM_HAS_NCCL ON)
    add_library(tdrm_nccl INTERFACE)
    target_include_directories(tdrm_nccl SYSTEM INTERFACE ${NCCL_INCLUDE_DIR})
    target_link_libraries(tdrm_nccl INTERFACE ${NCCL_LIBRARY})
    target_compile_definitions(tdrm_nccl INTERFACE TDRM_HAS_NCCL=1)
  endif()
endif()
if(TDRM_WITH_NCCL STREQUAL REQUIRED AND NOT TDRM_HAS_NCCL)
  message(FATAL_ERROR "NCCL or the CUDA toolkit is missing (TDRM_WITH_NCCL=REQUIRED, as in the preset cuda). "
                      "Set NCCL_HOME and CUDAToolkit_ROOT, or configure with -DTDRM_WITH_NCCL=ON.")
endif()
message(STATUS "NCCL: ${TDRM_HAS_NCCL}")
