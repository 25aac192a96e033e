namespace Hydragen.Cpu;

/// <summary>Some vectors of a block, and what they see of a page: slots from the first low to the last high, all of them from the last low to the first high.</summary>
internal unsafe struct VectorTile
{
    public int First, Count, FirstLow, LastLow, FirstHigh, LastHigh;

    /// <summary>What each of them sees, where that differs.</summary>
    public int* Lows, Highs;

    public readonly int FirstStrip => FirstLow / TileShape.StripWidth;

    public readonly int EndStrip => (LastHigh + TileShape.StripWidth - 1) / TileShape.StripWidth;
}
