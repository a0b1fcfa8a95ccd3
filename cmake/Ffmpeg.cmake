# FFmpeg's libraries decode what libsndfile and libmpg123 do not: MP4, M4A, WebM, AAC, FLAC in Ogg ….
pkg_check_modules(ffmpeg QUIET IMPORTED_TARGET libavformat>=59.27 libavcodec>=59.37 libswresample>=4.7 libavutil>=57.28)
set(AXLSTM_WITH_FFMPEG ${ffmpeg_FOUND})
if(AXLSTM_WITH_FFMPEG)
  message(STATUS "axlstm: MP4, M4A, WebM, AAC and other containers: on (FFmpeg, libavformat ${ffmpeg_libavformat_VERSION})")
else()
  message(STATUS "axlstm: MP4, M4A, WebM, AAC and other containers: off, FFmpeg's libraries (5.1 or newer) were not found "
                 "(Debian: libavformat-dev libavcodec-dev libswresample-dev)")
endif()
