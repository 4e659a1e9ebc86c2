"""The platforms that bundles are for, and their files of code."""

MEDIAPIPE = {
    "MediaPipeClassifier.kt": "Android, by MediaPipe Tasks (`com.google.mediapipe:tasks-vision`).",
    "MediaPipeClassifier.swift": "iOS, by MediaPipe Tasks (pod `MediaPipeTasksVision`).",
    "mediapipe_classifier.py": "Python, by MediaPipe Tasks; run it to check parity.",
}
MEANINGS = MEDIAPIPE | {
    "classifier.py": "Python with numpy, Pillow and ai-edge-litert; run it to check parity.",
    "Classifier.kt": "Android, on LiteRT (`com.google.ai.edge.litert:litert:2.3.2`), with `check()`.",
    "Classifier.swift": "iOS, on LiteRT (pod `TensorFlowLiteSwift`), with `check()`.",
    "check.c": "tells whether the array is the model: `cc -std=c11 check.c model_data.c && ./a.out model.tflite`.",
    "classifier.cc": "LiteRT for Microcontrollers (`tensorflow/tflite-micro`), with the check of parity.",
    "model_data.c": "the model as an array of C, aligned to 16 bytes.",
    "golden_data.c": "the golden tensors as arrays of C.",
}
TARGETS: dict[str, tuple[str, ...]] = {
    "python": ("classifier.py",),
    "android": ("Classifier.kt", "MediaPipeClassifier.kt"),
    "ios": ("Classifier.swift", "MediaPipeClassifier.swift"),
    "c": ("check.c", "classifier.cc"),
    "mediapipe": ("mediapipe_classifier.py", "MediaPipeClassifier.kt", "MediaPipeClassifier.swift"),
}
