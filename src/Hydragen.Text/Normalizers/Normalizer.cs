namespace Hydragen.Text.Normalizers;

/// <summary>One step that rewrites text before it is cut into pieces. Immutable.</summary>
internal abstract class Normalizer
{
    /// <summary>How many UTF-16 units at most one unit of a long text becomes.</summary>
    public virtual long Growth => 1;

    /// <param name="text">Well-formed UTF-16.</param>
    /// <returns>The rewritten text; <paramref name="text"/> itself where nothing changes.</returns>
    public abstract string Apply(string text);
}
