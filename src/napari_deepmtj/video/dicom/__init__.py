"""Ultrasound DICOM: frames, regions, times and scale."""
