using System.Runtime.InteropServices;

namespace Hydragen.Cuda;

/// <summary>
/// The functions of cuBLASLt that are used. They return a status; pass it to <see cref="MatrixStatus.Check"/>. Ask
/// <see cref="NativeLibraries.HasMatrixLibrary"/> before the first call.
/// </summary>
internal static unsafe partial class MatrixApi
{
    [LibraryImport(NativeLibraries.MatrixLibrary, EntryPoint = "cublasLtGetVersion")]
    public static partial nuint GetVersion();

    [LibraryImport(NativeLibraries.MatrixLibrary, EntryPoint = "cublasLtGetStatusName")]
    public static partial byte* GetStatusName(int status);

    [LibraryImport(NativeLibraries.MatrixLibrary, EntryPoint = "cublasLtCreate")]
    public static partial int Create(out nint handle);

    [LibraryImport(NativeLibraries.MatrixLibrary, EntryPoint = "cublasLtDestroy")]
    public static partial int Destroy(nint handle);

    [LibraryImport(NativeLibraries.MatrixLibrary, EntryPoint = "cublasLtMatmulDescCreate")]
    public static partial int DescriptionCreate(out nint description, int computeType, int scaleType);

    [LibraryImport(NativeLibraries.MatrixLibrary, EntryPoint = "cublasLtMatmulDescDestroy")]
    public static partial int DescriptionDestroy(nint description);

    [LibraryImport(NativeLibraries.MatrixLibrary, EntryPoint = "cublasLtMatmulDescSetAttribute")]
    public static partial int DescriptionSet(nint description, int attribute, void* value, nuint size);

    [LibraryImport(NativeLibraries.MatrixLibrary, EntryPoint = "cublasLtMatrixLayoutCreate")]
    public static partial int LayoutCreate(out nint layout, int type, ulong rows, ulong columns, long leadingDimension);

    [LibraryImport(NativeLibraries.MatrixLibrary, EntryPoint = "cublasLtMatrixLayoutDestroy")]
    public static partial int LayoutDestroy(nint layout);

    [LibraryImport(NativeLibraries.MatrixLibrary, EntryPoint = "cublasLtMatmulPreferenceCreate")]
    public static partial int PreferenceCreate(out nint preference);

    [LibraryImport(NativeLibraries.MatrixLibrary, EntryPoint = "cublasLtMatmulPreferenceDestroy")]
    public static partial int PreferenceDestroy(nint preference);

    [LibraryImport(NativeLibraries.MatrixLibrary, EntryPoint = "cublasLtMatmulPreferenceSetAttribute")]
    public static partial int PreferenceSet(nint preference, int attribute, void* value, nuint size);

    [LibraryImport(NativeLibraries.MatrixLibrary, EntryPoint = "cublasLtMatmulAlgoGetHeuristic")]
    public static partial int GetHeuristic(
        nint handle, nint description, nint a, nint b, nint c, nint d, nint preference, int numRequested, MatmulCandidate* candidates,
        out int numFound);

    [LibraryImport(NativeLibraries.MatrixLibrary, EntryPoint = "cublasLtMatmulAlgoCheck")]
    public static partial int CheckAlgorithm(
        nint handle, nint description, nint a, nint b, nint c, nint d, MatmulAlgorithm* algorithm, out MatmulCandidate result);

    [LibraryImport(NativeLibraries.MatrixLibrary, EntryPoint = "cublasLtMatmulAlgoConfigSetAttribute")]
    public static partial int AlgorithmSet(MatmulAlgorithm* algorithm, int attribute, void* value, nuint size);

    [LibraryImport(NativeLibraries.MatrixLibrary, EntryPoint = "cublasLtMatmul")]
    public static partial int Multiply(
        nint handle, nint description, float* alpha, nint a, nint aLayout, nint b, nint bLayout, float* beta, nint c, nint cLayout,
        nint d, nint dLayout, MatmulAlgorithm* algorithm, nint workspace, nuint workspaceBytes, nint stream);
}
