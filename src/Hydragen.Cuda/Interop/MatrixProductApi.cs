using System.Runtime.InteropServices;

namespace Hydragen.Cuda;

/// <summary>
/// The functions of cuBLASLt that are used. They return a status, 0 for success. Ask <see cref="NativeLibraries.HasMatrixProduct"/> before
/// the first call.
/// </summary>
internal static unsafe partial class MatrixProductApi
{
    /// <summary>Bytes of <c>cublasLtMatmulHeuristicResult_t</c>; it begins with the algorithm.</summary>
    public const int HeuristicResultBytes = 96;

    [LibraryImport(NativeLibraries.MatrixProduct, EntryPoint = "cublasLtCreate")]
    public static partial int Create(out nint handle);

    [LibraryImport(NativeLibraries.MatrixProduct, EntryPoint = "cublasLtDestroy")]
    public static partial int Destroy(nint handle);

    [LibraryImport(NativeLibraries.MatrixProduct, EntryPoint = "cublasLtMatmulDescCreate")]
    public static partial int DescriptionCreate(out nint description, int computeType, int scaleType);

    [LibraryImport(NativeLibraries.MatrixProduct, EntryPoint = "cublasLtMatmulDescDestroy")]
    public static partial int DescriptionDestroy(nint description);

    [LibraryImport(NativeLibraries.MatrixProduct, EntryPoint = "cublasLtMatmulDescSetAttribute")]
    public static partial int DescriptionSetAttribute(nint description, int attribute, void* value, nuint size);

    [LibraryImport(NativeLibraries.MatrixProduct, EntryPoint = "cublasLtMatrixLayoutCreate")]
    public static partial int LayoutCreate(out nint layout, int elementType, ulong rows, ulong columns, long leadingDimension);

    [LibraryImport(NativeLibraries.MatrixProduct, EntryPoint = "cublasLtMatrixLayoutDestroy")]
    public static partial int LayoutDestroy(nint layout);

    [LibraryImport(NativeLibraries.MatrixProduct, EntryPoint = "cublasLtMatmulPreferenceCreate")]
    public static partial int PreferenceCreate(out nint preference);

    [LibraryImport(NativeLibraries.MatrixProduct, EntryPoint = "cublasLtMatmulPreferenceDestroy")]
    public static partial int PreferenceDestroy(nint preference);

    [LibraryImport(NativeLibraries.MatrixProduct, EntryPoint = "cublasLtMatmulPreferenceSetAttribute")]
    public static partial int PreferenceSetAttribute(nint preference, int attribute, void* value, nuint size);

    [LibraryImport(NativeLibraries.MatrixProduct, EntryPoint = "cublasLtMatmulAlgoGetHeuristic")]
    public static partial int AlgorithmGetHeuristic(
        nint handle, nint description, nint a, nint b, nint c, nint d, nint preference, int requested, void* results, out int returned);

    [LibraryImport(NativeLibraries.MatrixProduct, EntryPoint = "cublasLtMatmul")]
    public static partial int Multiply(
        nint handle, nint description, void* alpha, nint a, nint aLayout, nint b, nint bLayout, void* beta, nint c, nint cLayout,
        nint d, nint dLayout, void* algorithm, nint workspace, nuint workspaceBytes, nint stream);
}
