namespace Hydragen.Cpu;

/// <summary>The sizes that the tile kernel and the layouts it reads agree on.</summary>
internal static class TileShape
{
    /// <summary>Columns of a strip: the lanes of the widest vector.</summary>
    public const int StripWidth = 16;

    /// <summary>Rows of the largest tile: six rows of four vectors are what 32 registers hold.</summary>
    public const int MaxRows = 6;

    /// <summary>A number of columns rounded up to whole strips.</summary>
    public static int PadToStrips(int columns) => (columns + StripWidth - 1) / StripWidth * StripWidth;
}
