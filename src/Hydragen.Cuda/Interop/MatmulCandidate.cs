using System.Runtime.CompilerServices;
using System.Runtime.InteropServices;

namespace Hydragen.Cuda;

/// <summary>What cuBLASLt's heuristic proposes; laid out as <c>cublasLtMatmulHeuristicResult_t</c>.</summary>
[StructLayout(LayoutKind.Sequential)]
internal struct MatmulCandidate
{
    public MatmulAlgorithm Algorithm;
    public nuint WorkspaceBytes;
    public int Status;
    public float NumWaves;
    public FourNumbers Reserved;

    /// <summary>Four numbers that are reserved.</summary>
    [InlineArray(4)]
    internal struct FourNumbers
    {
        private int _first;
    }
}
