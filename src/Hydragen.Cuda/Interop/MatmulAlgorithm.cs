using System.Runtime.CompilerServices;

namespace Hydragen.Cuda;

/// <summary>An algorithm of cuBLASLt, opaque.</summary>
[InlineArray(8)]
internal struct MatmulAlgorithm
{
    private ulong _first;
}
