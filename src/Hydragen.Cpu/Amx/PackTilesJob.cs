using System.Runtime.CompilerServices;

namespace Hydragen.Cpu;

/// <summary>
/// Packs BF16 rows in tiles, <c>[ceil(numRows / 16)][ceil(rowLength / 32)][16][32]</c>, zeros where there is no row or element: rows a power of
/// two apart would meet in the same few lines of the first-level cache. An item is 16 rows.
/// </summary>
internal sealed unsafe class PackTilesJob : Job
{
    /// <summary>BF16 <c>[…, rowLength]</c>.</summary>
    public ushort* Source;

    /// <summary>Row to read for each row to write; null means the same.</summary>
    public int* Rows;
    public int NumRows;
    public int RowLength;
    public byte* Destination;

    /// <summary>Bytes of the packed rows.</summary>
    public static long Size(int numRows, int rowLength) => (long)CountItems(numRows) * CountSteps(rowLength) * AmxTileEmitter.TileBytes;

    /// <summary>Items for a number of rows.</summary>
    public static int CountItems(int numRows) => (numRows + AmxTileEmitter.TileRows - 1) / AmxTileEmitter.TileRows;

    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    public override void Execute(int item, int worker)
    {
        const uint lineBytes = AmxTileEmitter.TileDepth * sizeof(ushort);
        int steps = CountSteps(RowLength), whole = RowLength / AmxTileEmitter.TileDepth;
        byte* tiles = Destination + (nint)item * steps * AmxTileEmitter.TileBytes;
        for (int i = 0; i < AmxTileEmitter.TileRows; i++)
        {
            int row = item * AmxTileEmitter.TileRows + i;
            byte* line = tiles + i * lineBytes;
            if (row >= NumRows)
            {
                for (int step = 0; step < steps; step++, line += AmxTileEmitter.TileBytes) Unsafe.InitBlock(line, 0, lineBytes);
                continue;
            }
            byte* source = (byte*)(Source + (nint)(Rows == null ? row : Rows[row]) * RowLength);
            for (int step = 0; step < whole; step++, line += AmxTileEmitter.TileBytes, source += lineBytes) Unsafe.CopyBlockUnaligned(line, source, lineBytes);
            if (whole == steps) continue;
            uint rest = (uint)(RowLength - whole * AmxTileEmitter.TileDepth) * sizeof(ushort);
            Unsafe.InitBlock(line, 0, lineBytes);
            Unsafe.CopyBlockUnaligned(line, source, rest);
        }
    }

    private static int CountSteps(int rowLength) => (rowLength + AmxTileEmitter.TileDepth - 1) / AmxTileEmitter.TileDepth;
}
