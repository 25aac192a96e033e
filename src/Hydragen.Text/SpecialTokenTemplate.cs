namespace Hydragen.Text;

/// <summary>The control tokens that surround an encoded text.</summary>
/// <param name="Before">Ids before the text.</param>
/// <param name="After">Ids behind the text.</param>
internal sealed record SpecialTokenTemplate(int[] Before, int[] After)
{
    public static SpecialTokenTemplate Empty { get; } = new([], []);

    /// <summary>This template, and <paramref name="outer"/> around its result.</summary>
    public SpecialTokenTemplate Within(SpecialTokenTemplate outer) =>
        new([.. outer.Before, .. Before], [.. After, .. outer.After]);
}
