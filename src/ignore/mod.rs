//! `.dockerignore` patterns (L-190 to L-195). **Pure.**
