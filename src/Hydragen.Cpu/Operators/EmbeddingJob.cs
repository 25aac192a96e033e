using System.Runtime.CompilerServices;
using Hydragen.Core;

namespace Hydragen.Cpu;

/// <summary>Reads rows of a packed matrix, one token an item. Elements of a row lie 16 apart there, so the reads are scalar.</summary>
internal sealed unsafe class EmbeddingJob : Job
{
    public byte* Weights;
    public ElementType Type;
    public int* TokenIds;
    public float* Output;
    public int HiddenSize;
    public float Scale;

    public override void Execute(int item, int worker)
    {
        switch (Type)
        {
            case ElementType.Float32: Row<Float32Storage>(item); break;
            case ElementType.BFloat16: Row<BFloat16Storage>(item); break;
            default: Row<Float16Storage>(item); break;
        }
    }

    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    private void Row<T>(int row)
        where T : struct, IStorage
    {
        int id = TokenIds[row];
        nint first = (nint)(id / TileShape.StripWidth) * HiddenSize * TileShape.StripWidth + id % TileShape.StripWidth;
        float* output = Output + (nint)row * HiddenSize;
        for (nint i = 0; i < HiddenSize; i++) output[i] = T.Get(Weights, first + i * TileShape.StripWidth) * Scale;
    }
}
