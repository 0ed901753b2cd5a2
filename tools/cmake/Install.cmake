# cmake --install: the program, what it runs with, and its documentation, in a prefix that may be moved afterwards.
#   bin/tdrm, bin/tdrm-report     the program, the report
#   lib/tdrm/                     the module of matrix products, libtdrm_cuda.so if it is built, libtorch if it is installed along (TDRM_INSTALL_TORCH)
#   share/tdrm/                   configs, data, jobs, tools, a modulefile
#   share/{doc,man,bash-completion}
include(GNUInstallDirs)
option(TDRM_INSTALL_TORCH "Install libtorch's CPU libraries (440 MB) along with the program" ${TDRM_TORCH_IS_OURS})
set(TDRM_SHARE ${CMAKE_INSTALL_DATADIR}/tdrm)

# Libraries outside the source folder are found where they were linked; the module (docs/adr/0072), and libtorch if it comes
# along, beside the program. The module itself finds libtorch in its own folder.
set(CMAKE_BUILD_RPATH ${CMAKE_BINARY_DIR}/lib)
set(CMAKE_INSTALL_RPATH_USE_LINK_PATH ON)
file(RELATIVE_PATH to_libraries ${CMAKE_INSTALL_FULL_BINDIR} ${CMAKE_INSTALL_FULL_LIBDIR}/tdrm)
set(CMAKE_INSTALL_RPATH "$ORIGIN/${to_libraries}")
if(TDRM_INSTALL_TORCH)
  install(DIRECTORY ${TORCH_DIR}/lib/ DESTINATION ${CMAKE_INSTALL_LIBDIR}/tdrm FILES_MATCHING
          REGEX "/lib(torch_cpu|c10|gomp[^/]*|cudart|cupti)\\.so[.0-9]*$" REGEX "/lib/[^/]*/" EXCLUDE)
endif()

install(DIRECTORY configs data DESTINATION ${TDRM_SHARE} PATTERN "*.safetensors" EXCLUDE)  # configs/paper/models
install(DIRECTORY tests/text/data/qwen DESTINATION ${TDRM_SHARE}/tests/text/data)  # the tokenizer of configs/gsm8k-sample.yaml
install(FILES tools/packaging/modulefile DESTINATION ${TDRM_SHARE}/modulefiles/tdrm RENAME ${PROJECT_VERSION})
install(PROGRAMS jobs/launch.sh DESTINATION ${TDRM_SHARE}/jobs)
install(DIRECTORY jobs/slurm DESTINATION ${TDRM_SHARE}/jobs USE_SOURCE_PERMISSIONS)
install(PROGRAMS tools/report tools/gguf_to_hf.py tools/parquet_to_jsonl.py tools/gsm_symbolic.py DESTINATION ${TDRM_SHARE}/tools)
install(DIRECTORY tools/tdrm_report DESTINATION ${TDRM_SHARE}/tools PATTERN __pycache__ EXCLUDE)
install(FILES README.md ARCHITECTURE.md CHANGELOG.md CONTRIBUTING.md CITATION.cff DESTINATION ${CMAKE_INSTALL_DOCDIR})
install(DIRECTORY docs/ DESTINATION ${CMAKE_INSTALL_DOCDIR}/docs)
file(RELATIVE_PATH to_report ${CMAKE_INSTALL_FULL_BINDIR} ${CMAKE_INSTALL_FULL_DATADIR}/tdrm/tools/report)
file(CREATE_LINK ${to_report} ${CMAKE_BINARY_DIR}/tdrm-report SYMBOLIC)
install(FILES ${CMAKE_BINARY_DIR}/tdrm-report DESTINATION ${CMAKE_INSTALL_BINDIR})

# The program writes its own manual page and completion, so that they can't differ from it. A program that was built for other
# processors than this one can't; then they are left out.
function(tdrm_install_text folder name)  # ARGN: words for the program
  install(CODE "
    execute_process(COMMAND \"${CMAKE_BINARY_DIR}/tdrm\" ${ARGN} OUTPUT_FILE \"${CMAKE_BINARY_DIR}/${name}\" RESULT_VARIABLE code)
    if(code EQUAL 0)
      file(INSTALL \"${CMAKE_BINARY_DIR}/${name}\" DESTINATION \"\${CMAKE_INSTALL_PREFIX}/${folder}\" RENAME \"${name}\")
    else()
      message(WARNING \"${name} isn't installed, because the program doesn't run on this machine. \"
                      \"Make it on a machine where it does: tdrm ${ARGN}\")
    endif()")
endfunction()
tdrm_install_text(${CMAKE_INSTALL_MANDIR}/man1 tdrm.1 man)
tdrm_install_text(${CMAKE_INSTALL_DATADIR}/bash-completion/completions tdrm.bash completion bash)
