# Install and export: another project says find_package(axlstm) and links axlstm::axlstm.
include(CMakePackageConfigHelpers)

set(installed_targets axlstm axlstm_base axlstm_parquet)
if(AXLSTM_WITH_CUDA)
  list(APPEND installed_targets axlstm_kernels)
endif()
if(AXLSTM_BUILD_APPS)
  install(TARGETS pretrain finetune classify extract hear-eval pack sweep RUNTIME DESTINATION ${CMAKE_INSTALL_BINDIR})
endif()
install(TARGETS ${installed_targets} EXPORT axlstmTargets ARCHIVE DESTINATION ${CMAKE_INSTALL_LIBDIR})
install(EXPORT axlstmTargets NAMESPACE axlstm:: DESTINATION ${CMAKE_INSTALL_LIBDIR}/cmake/axlstm)
install(DIRECTORY include/axlstm DESTINATION ${CMAKE_INSTALL_INCLUDEDIR})
install(DIRECTORY configs DESTINATION ${CMAKE_INSTALL_DATADIR}/axlstm)

configure_package_config_file(cmake/axlstmConfig.cmake.in ${PROJECT_BINARY_DIR}/axlstmConfig.cmake
  INSTALL_DESTINATION ${CMAKE_INSTALL_LIBDIR}/cmake/axlstm)
write_basic_package_version_file(${PROJECT_BINARY_DIR}/axlstmConfigVersion.cmake COMPATIBILITY SameMinorVersion)
install(FILES ${PROJECT_BINARY_DIR}/axlstmConfig.cmake ${PROJECT_BINARY_DIR}/axlstmConfigVersion.cmake cmake/FindLibTorch.cmake
  DESTINATION ${CMAKE_INSTALL_LIBDIR}/cmake/axlstm)
